"""What a boosting library says of its file, in a process of its own.

Libraries trust their files: a damaged one can make them read memory that is not theirs, hang, or ask for any amount of memory.
"""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

# Seconds that a library may take for its own file, and bytes.
_SECONDS, _BYTES = 120, 16 * 2**30

_LIMITED = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({_BYTES}, {_BYTES}))
except (ImportError, ValueError, OSError):
    pass
# What it can do without takes most of the time that a library needs to start.
for name in ("dask", "graphviz", "matplotlib", "plotly", "pyarrow", "sklearn"):
    sys.modules[name] = None
path, rows, rounds, out = sys.argv[1:]
"""
# Each reads the file at `path` and leaves its answer at `out`.
_ANSWERS = {
    "xgboost": """
sys.modules["pandas"] = None
import numpy, xgboost
booster = xgboost.Booster({"nthread": 1}, model_file=path)
rows = xgboost.DMatrix(numpy.load(rows), nthread=1, feature_names=booster.feature_names, feature_types=booster.feature_types,
                       enable_categorical=True)
margins = booster.predict(rows, output_margin=True, iteration_range=(0, int(rounds)))
numpy.save(out, numpy.asarray(margins, dtype=numpy.float64))
""",
    "lightgbm": """
sys.modules["pandas"] = None
import numpy, lightgbm
numpy.save(out, lightgbm.Booster(model_file=path).predict(numpy.load(rows), num_threads=1))
""",
    "catboost": """
import numpy, catboost
model = catboost.CatBoostClassifier().load_model(path, format="json" if path.endswith(".json") else "cbm")
numpy.save(out, model.predict_proba(numpy.load(rows), thread_count=1))
""",
    "catboost_json": """
import catboost
catboost.CatBoost().load_model(path, format="cbm").save_model(out, format="json")
""",
}


def installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    return find_spec(package) is not None


def own_predictions(package: str, content: bytes, suffix: str, rows: np.ndarray, rounds: int | None = None) -> np.ndarray:
    """What a library predicts for rows with the model in a file of it: margins of XGBoost, else probabilities.

    Args:
        package: the library.
        content: of the file.
        suffix: the ending that the library knows such files by.
        rows: ``(n, columns)``.
        rounds: how many rounds of boosting count; all without it.

    Raises:
        ValueError: if it does not read it.
    """
    return _answer(package, content, suffix, rows, rounds or 0, np.load)


def catboost_json(content: bytes) -> bytes:
    """The JSON that CatBoost makes of its binary file.

    Raises:
        ValueError: if it does not read it.
    """
    return _answer("catboost_json", content, ".cbm", np.zeros(0), 0, Path.read_bytes)


def _answer(what: str, content: bytes, suffix: str, rows: np.ndarray, rounds: int, read: Callable[[Path], Any]) -> Any:
    with TemporaryDirectory() as folder:
        path, given, out = (Path(folder) / name for name in (f"model{suffix}", "rows.npy", "out.npy"))
        path.write_bytes(content)
        np.save(given, rows)
        # Nothing is imported from the folder that this happens to run in.
        command = [sys.executable, "-P", "-c", _LIMITED + _ANSWERS[what], *map(str, (path, given)), str(rounds), str(out)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise ValueError(f"takes {what.partition('_')[0]} itself more than {_SECONDS} seconds to read") from None
        if done.returncode or not out.is_file():
            said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            raise ValueError(f"is none that {what.partition('_')[0]} itself reads: {said[-1][:200].rstrip('.')}")
        return read(out)
