"""Breast cancer, six models: what an audit finds before and after the guard.

Writes a report for each model and a table of all of them: python -m examples.medical --out FOLDER
"""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from knowlimits.auditing.show.labels import label
from knowlimits.outputs import write_atomically

SETTINGS = {"hidden_sizes": (32, 32), "learning_rate": 0.01, "epochs": 40, "batch_size": 32, "random_state": 0}
MODELS = {
    "NN": kl.NeuralNetwork(**SETTINGS),
    "PlattScalingNN": kl.PlattScaled(**SETTINGS),
    "MCDropout": kl.MCDropout(**SETTINGS, dropout=0.3, members=20),
    "BBB": kl.BayesByBackprop(**{**SETTINGS, "epochs": 100}, members=20, beta=1.0, anneal=False, prior_sigma2=0.1),
    "NNEnsemble": kl.Ensemble(**SETTINGS, members=10),
    "AnchoredNNEnsemble": kl.AnchoredEnsemble(**SETTINGS, members=10),
}
# What the table says of each model: name of the column, table and row of the audit, and how to write it.
_COLUMNS = {
    "sure, columns": ("remedies", "sure_features", "{:.1%}"),
    "sure, directions": ("remedies", "sure_directions", "{:.1%}"),
    "median limit": ("remedies", "confidence", "{:.3f}"),
    "settled, sd": ("remedies", "settled_sd", "{:.1f}"),
    "entropy's AUROC at infinity": ("remedies", "auroc", "{:.2f}"),
    "accuracy": ("remedies", "accuracy", "{:.3f}"),
    "log loss": ("remedies", "log_loss", "{:.3f}"),
}

Models = Annotated[tuple[str, ...], Parameter(consume_multiple=True)]

app = App(help=__doc__)


@app.default
def main(*, out: Path = Path("results/medical"), models: Models = tuple(MODELS), force: bool = False) -> dict[str, kl.Audit]:
    """Train, audit, and write the reports."""
    out.mkdir(parents=True, exist_ok=True)
    data = load_breast_cancer()
    y = data.target_names[data.target]
    X_train, X_test, y_train, y_test = train_test_split(data.data, y, test_size=0.3, random_state=0, stratify=y)
    audits = {}
    for name in models:
        model = make_pipeline(StandardScaler(), MODELS[name]).fit(X_train, y_train)
        audits[name] = kl.audit(model, X_train, y_train, data.feature_names, X_test=X_test, y_test=y_test)
        audits[name].to_html(out / f"{name}.html", overwrite=force)
        write_atomically(out / f"{name}.txt", (str(audits[name]) + "\n").encode())
        print(f"{name}: {audits[name].verdict[0]}")
    write_atomically(out / "summary.md", table(audits).encode())
    print(f"\nReports and their table: {out}")
    return audits


def table(audits: dict[str, kl.Audit]) -> str:
    """A row for each model, as it is and with its remedies, as Markdown."""
    lines = [
        "# Breast cancer, six models, before and after the guard",
        "",
        "Written by `python -m examples.medical`. *Sure, columns*: the share of ways, a column up or down, along which a row",
        "ends with a confidence of 0.99 or more; *directions*: the same for all columns together; *settled*: standard",
        "deviations after which the confidence stays within 0.01 of its limit; the entropy's area under the ROC curve is that",
        "of rows of which a column went to infinity, against test rows. Accuracy and log loss are on the test rows. The",
        "repository has no reports: the program writes them beside this page.",
        "",
        f"| model | | {' | '.join(_COLUMNS)} |",
        "|---|---|" + "---:|" * len(_COLUMNS),
    ]
    for name, audit in audits.items():
        for k, remedy in enumerate(audit.remedies["model"]):
            cells = [form.format(getattr(audit, of)[column][k]).replace("nan", "") for of, column, form in _COLUMNS.values()]
            lines.append(f"| {name if k == 0 else ''} | {label(remedy)} | {' | '.join(cells)} |")
    lines += ["", "## The verdicts", ""]
    for name, audit in audits.items():
        lines += [
            f"**{name}**: [its audit as text]({name}.txt); `{name}.html` is its report.",
            "",
            *(f"- {sentence}" for sentence in audit.verdict),
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    app(result_action="return_value")
