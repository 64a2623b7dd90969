"""A model that another library trained, as an ONNX file and as a torch.export program, and the command that audits them.

Writes the files, and a report for each: python -m examples.files --out FOLDER
Needs skl2onnx.
"""

import csv
import warnings
from pathlib import Path

import torch
from cyclopts import App
from sklearn.datasets import load_wine
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import knowlimits as kl
from knowlimits.cli.main import main as knowlimits
from knowlimits.outputs import write_atomically

app = App(help=__doc__)


@app.default
def main(*, out: Path = Path("results/files")) -> None:
    """Train a pipeline, write it in both formats, and audit the files from the command line."""
    out.mkdir(parents=True, exist_ok=True)
    data = load_wine()
    X, y = data.data, data.target
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((50, 50), max_iter=400, random_state=0)).fit(X, y)

    with (out / "wine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "cultivar"])
        writer.writerows([*row, label] for row, label in zip(X, y, strict=True))

    from skl2onnx import to_onnx

    with warnings.catch_warnings():
        # skl2onnx calls what onnx will rename.
        warnings.simplefilter("ignore", DeprecationWarning)
        content = to_onnx(pipeline, X[:1].astype("float32"), options={"zipmap": False}).SerializeToString()
    write_atomically(out / "wine.onnx", content)

    # The steps and the network as one torch module; any other would do.
    module = kl.read(pipeline).networks[0]
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(module, (torch.tensor(X[:8]),), dynamic_shapes=({0: batch},))
    torch.export.save(program, out / "wine.pt2")

    for name in ("wine.onnx", "wine.pt2"):
        report = out / f"{name}.html"
        options = ["--target", "cultivar", "--html", str(report), "--force"]
        print(f"\n$ knowlimits audit {name} wine.csv --target cultivar --html {report.name} --force\n", flush=True)
        knowlimits(["audit", str(out / name), str(out / "wine.csv"), *options])


if __name__ == "__main__":
    app(result_action="return_value")
