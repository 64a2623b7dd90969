"""A boosted model from its own file: trained by XGBoost, saved as UBJSON, and audited from what is in the file.

Writes the file, its audit as text and its report: python -m examples.boosted --out FOLDER
Needs xgboost.
"""

from pathlib import Path

from cyclopts import App
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import knowlimits as kl
from knowlimits.outputs import write_atomically

app = App(help=__doc__)


@app.default
def main(*, out: Path = Path("results/boosted"), force: bool = False) -> kl.Audit:
    """Train, save, load, audit, and write the report."""
    from xgboost import XGBClassifier

    out.mkdir(parents=True, exist_ok=True)
    data = load_breast_cancer()
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, data.target, test_size=0.3, random_state=0, stratify=data.target
    )
    XGBClassifier(n_estimators=200, max_depth=4, random_state=0).fit(X_train, y_train).save_model(out / "cancer.ubj")

    # From here on nothing needs XGBoost.
    model = kl.load(out / "cancer.ubj")
    print(model, end="\n\n")
    audit = kl.audit(model, X_train, y_train, data.feature_names, X_test=X_test, y_test=y_test)
    audit.to_html(out / "cancer.html", overwrite=force)
    write_atomically(out / "cancer.txt", (str(audit) + "\n").encode())
    print(audit)
    print(f"\nThe report: {out / 'cancer.html'}")
    return audit


if __name__ == "__main__":
    app(result_action="return_value")
