"""Wine, digits and a table of 100 columns and 200,000 rows: scikit-learn's MLPClassifier and a torch module trained here.

Writes a report for each: python -m examples.tables --out FOLDER
"""

import time
from pathlib import Path

import numpy as np
import torch
from cyclopts import App
from sklearn.datasets import load_digits, load_wine
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

import knowlimits as kl
from knowlimits.outputs import write_atomically

app = App(help=__doc__)


@app.default
def main(*, out: Path = Path("results/tables"), rows: int = 200_000, force: bool = False) -> dict[str, kl.Audit]:
    """Train, audit, and write the reports."""
    out.mkdir(parents=True, exist_ok=True)
    audits = {}
    for name, audited in (("wine", wine), ("digits", digits), ("large", lambda: large(rows))):
        began = time.perf_counter()
        audits[name], took = audited()
        audits[name].to_html(out / f"{name}.html", overwrite=force)
        write_atomically(out / f"{name}.txt", (str(audits[name]) + "\n").encode())
        print(f"\n{name}: the audit took {took:.1f} s, all together {time.perf_counter() - began:.1f} s")
        print("\n".join(audits[name].verdict))
    return audits


def wine() -> tuple[kl.Audit, float]:
    """Thirteen columns, three classes; the pipeline scales them."""
    data = load_wine()
    model = make_pipeline(StandardScaler(), MLPClassifier((50, 50), max_iter=400, random_state=0)).fit(data.data, data.target)
    return _audited(model, data.data, data.target, feature_names=data.feature_names)


def digits() -> tuple[kl.Audit, float]:
    """Sixty-four columns of whole numbers, which would be taken for codes: they are measurements all the same."""
    data = load_digits()
    model = make_pipeline(MinMaxScaler(), MLPClassifier((64,), max_iter=400, random_state=0)).fit(data.data, data.target)
    return _audited(model, data.data, data.target, feature_names=data.feature_names, continuous="all")


def large(rows: int) -> tuple[kl.Audit, float]:
    """A hundred columns, of which ten matter, and a torch module."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 100))
    y = (np.tanh(X[:, :5]).sum(1) + X[:, 5:10].prod(1) + 0.3 * rng.normal(size=rows) > 0).astype(int)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    inputs, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    for batch in torch.randperm(rows).split(500):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    return _audited(model, X, y, feature_names=[f"sensor {i}" for i in range(100)])


def _audited(*arguments, **options) -> tuple[kl.Audit, float]:
    began = time.perf_counter()
    return kl.audit(*arguments, **options), time.perf_counter() - began


if __name__ == "__main__":
    app(result_action="return_value")
