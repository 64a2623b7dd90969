"""Networks that are files, as their own tools write them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from torch import nn

import knowlimits as kl
from tests.zoo.entry import FAMILY, PROBABILITIES, Entry
from tests.zoo.estimators import ours, piped
from tests.zoo.nets import binary, body, of_logits, own
from tests.zoo.tables import CANCER, CODED, RAW, WINE

_BATCH = ({0: torch.export.Dim("batch")},)
# A family that returns logits has those.
_OF_LOGITS = {name: why for name, why in FAMILY.items() if name not in ("energy", "max_logit")}
# Files live as long as the session.
_FOLDER = TemporaryDirectory()


def softened(net):
    return nn.Sequential(*net, nn.Softmax(1)).eval()


def exported(net):
    return torch.export.export(net, (torch.zeros(2, 5),), dynamic_shapes=_BATCH)


def _pt2(net):
    def write(path):
        torch.export.save(exported(net), path)

    return write


def _onnx(net):
    def write(path):
        torch.onnx.export(net, (torch.zeros(2, 5),), path, dynamic_shapes=({0: "batch"},), verbose=False, external_data=False)

    return write


def _skl2onnx(table, build):
    def write(path):
        from skl2onnx import to_onnx

        model = build().fit(table.X, table.y)
        Path(path).write_bytes(to_onnx(model, table.X[:1].astype("float32"), options={"zipmap": False}).SerializeToString())

    return write


def _skops(table, build):
    def write(path):
        from skops.io import dump

        dump(build().fit(table.X, table.y), path)

    return write


def _of_skl(build, table=RAW):
    """scikit-learn's model before it was written; files of ONNX keep weights in single precision."""

    def truth(_, X):
        return build().fit(table.X, table.y).predict_proba(X)

    return truth


def logistic():
    return make_pipeline(StandardScaler(), LogisticRegression())


def _forest():
    return RandomForestClassifier(20, random_state=0)


def _boosting():
    return GradientBoostingClassifier(n_estimators=20, random_state=0)


def _adaboost():
    return AdaBoostClassifier(n_estimators=10, random_state=0)


def _calibrated():
    return CalibratedClassifierCV(LogisticRegression(), cv=2)


def _svc():
    return make_pipeline(StandardScaler(), SVC(probability=True, random_state=0))


def _one_hot():
    steps = ColumnTransformer([("a", StandardScaler(), list(range(5))), ("b", OneHotEncoder(handle_unknown="ignore"), [5])])
    return make_pipeline(steps, _forest())


def file(about, name, write, table, truth, trusted=(), **more):
    """A model that is read from a file."""
    path = Path(_FOLDER.name) / name

    def make():
        write(str(path))
        return kl.load(path, trusted=trusted)

    return Entry(about, make, table, truth, file=str(path), **more)


def _saved(path):
    kl.save(ours("Ensemble", members=4).make(), path)


ENTRIES = {
    "export": Entry("`torch.export` program", lambda: exported(body()), WINE, of_logits(body())),
    "export_softmax": Entry("`torch.export` program, softmax", lambda: exported(softened(body())), WINE, of_logits(body())),
    "export_sigmoid": Entry(
        "`torch.export` program, sigmoid",
        lambda: exported(nn.Sequential(*binary(), nn.Sigmoid()).eval()),
        CANCER,
        of_logits(binary()),
    ),
    "pt2": file("`.pt2`", "plain.pt2", _pt2(body()), WINE, of_logits(body())),
    "pt2_softmax": file("`.pt2`, softmax", "soft.pt2", _pt2(softened(body())), WINE, of_logits(body())),
    "pt2_log_softmax": file(
        "`.pt2`, log-softmax", "log.pt2", _pt2(nn.Sequential(*body(), nn.LogSoftmax(1)).eval()), WINE, of_logits(body())
    ),
    "onnx": file("ONNX by PyTorch", "plain.onnx", _onnx(body()), WINE, of_logits(body()), needs=("onnx", "onnxscript")),
    "onnx_softmax": file(
        "ONNX by PyTorch, softmax", "soft.onnx", _onnx(softened(body())), WINE, of_logits(body()), needs=("onnx", "onnxscript")
    ),
    "onnx_sigmoid": file(
        "ONNX by PyTorch, sigmoid",
        "sigmoid.onnx",
        _onnx(nn.Sequential(*binary(), nn.Sigmoid()).eval()),
        CANCER,
        of_logits(binary()),
        needs=("onnx", "onnxscript"),
    ),
    "onnx_sklearn": file(
        "ONNX of a Pipeline, by skl2onnx", "skl.onnx", _skl2onnx(RAW, piped), RAW, _of_skl(piped), needs=("onnx", "skl2onnx")
    ),
    **{
        f"onnx_{name}": file(
            f"ONNX of {about}, by skl2onnx",
            f"{name}.onnx",
            _skl2onnx(table, build),
            table,
            _of_skl(build, table),
            needs=("onnx", "skl2onnx"),
            refused=refused,
        )
        for name, about, build, table, refused in (
            ("forest", "a forest", _forest, RAW, FAMILY),
            ("boosting", "boosting", _boosting, RAW, _OF_LOGITS),
            ("adaboost", "AdaBoost", _adaboost, RAW, FAMILY),
            ("calibrated", "a calibration", _calibrated, RAW, PROBABILITIES),
            ("svc", "an SVC", _svc, RAW, FAMILY),
            ("one_hot", "a forest behind one-hot codes", _one_hot, CODED, FAMILY),
        )
    },
    "skops": file("`.skops`", "pipe.skops", _skops(RAW, logistic), RAW, own, needs=("skops",)),
    "skops_forest": file(
        "`.skops` of a forest, its trees trusted",
        "forest.skops",
        _skops(RAW, _forest),
        RAW,
        own,
        trusted=("sklearn.tree._tree.Tree",),
        needs=("skops",),
        refused=FAMILY | {"command_line": "types to trust"},
    ),
    "safetensors": file(
        "our own file, of an ensemble",
        "ours.safetensors",
        _saved,
        WINE,
        lambda model, X: model.predict_proba(X),
        ours=True,
        refused={"LastLayerLaplace": "several members"},
    ),
}
