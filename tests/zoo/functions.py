"""The public functions, each run on a model of the zoo and compared with what the model itself says."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.special import softmax
from sklearn.utils import check_random_state

import knowlimits as kl
from knowlimits.detectors import Needs
from tests.command import run
from tests.zoo.made import CLOSE, SURE, Made, Wrong, check_limits, few_trees, require

# How much may go by what a person's model computes in single or half precision.
_PRECISION = 1e-6


def read(made: Made) -> None:
    """What was read says what the model says, and can be shown."""
    model = kl.read(made.model, X=made.table.X, **made.entry.said)
    found = model.predict_proba(made.table.X)
    error = np.abs(found - made.at_data).max()
    require(error <= _PRECISION, f"probabilities are off by {error:.2g} on the data")
    require(len(str(model).splitlines()) >= 5, f"it is shown as {model}")


def far_field(made: Made) -> None:
    """Limits are what the model says far away."""
    far = kl.far_field(made.asked, *_shaped(made))
    check_limits(mean_of(far), made.entry.radii, made.far)


def partition(made: Made) -> None:
    """The affine maps of cells give the model's probabilities at points of them."""
    plane = made.plane
    cells = kl.partition(made.asked, plane)
    points = np.random.default_rng(7).normal(size=(40, 2))
    place = cells.locate(points)
    outputs = np.einsum("nok,nk->no", cells.affine[place], np.column_stack([points, np.ones(len(points))]))
    seen = made.on_plane(points)
    members = kl.far_field(made.asked, plane.origin[None], plane.u[None]).probs.shape[0]
    probs = _probabilities(outputs.reshape(len(points), members, -1), made).mean(1)
    error = np.abs(probs - seen)[seen > 1e-9] / seen[seen > 1e-9]
    require(error.max() <= 1e-5, f"affine maps are off by a factor of {error.max():.2g}")


def horizon(made: Made) -> None:
    """Limits on arcs, and the share that is sure, are what the model says in drawn directions."""
    found = kl.horizon(made.asked, made.plane)
    # One in each of many equal parts, so that the share is that of the circle but for its ends.
    rng = np.random.default_rng(8)
    angles = (np.arange(200) + rng.random(200)) / 200 * 2 * np.pi
    begins = found.angles[:, 0]
    arcs = np.searchsorted(begins, begins[0] + (angles - begins[0]) % (2 * np.pi), "right") - 1
    beside = np.abs((angles[:, None] - found.angles.ravel() + np.pi) % (2 * np.pi) - np.pi).min(1)
    ways = np.column_stack([np.cos(angles), np.sin(angles)])
    seen = [made.on_plane(radius * ways) for radius in made.entry.radii]
    inside = beside > 1e-3
    check_limits(found.probs.mean(0)[arcs][inside], made.entry.radii, [one[inside] for one in seen])
    share = (seen[-1].max(1) >= SURE).mean()
    require(
        abs(found.share(SURE) - share) <= 0.03, f"{found.share(SURE):.3f} of the directions are sure, drawn ones {share:.3f}"
    )


def audit(made: Made) -> None:
    """The columns that move are those that may, and the shares that end sure are the model's."""
    table = made.table
    found = made.audited
    features = found.features
    moved = list(dict.fromkeys(map(str, features["feature"])))
    require(moved == [table.names[place] for place in table.moves], f"it moved {moved}")
    low, high = (share.ravel() for share in made.sure)
    sure = features["sure"]
    # A row on the edge may fall to either side.
    bad = (sure < low - 1e-9) | (sure > high + 1e-9)
    k = int(bad.argmax())
    require(
        not bad.any(),
        f"{features['feature'][k]}: {sure[k]:.3f} of the rows end sure, the model has {low[k]:.3f} to {high[k]:.3f}",
    )
    for k, most in enumerate(made.end_in):
        said = features["classes"][k]
        require(
            most is None or said.startswith(f"{most} ("), f"{features['feature'][k]}: it ends in {said}, the model in {most}"
        )
    before, last = (np.median(ends, axis=0).ravel() for ends in made.along_columns)
    error = np.abs(features["confidence"] - last) - 2 * np.abs(last - before)
    require(error.max() <= 1e-5, f"median confidence at infinity is off by {error.max():.2g}")


def assert_far_field(made: Made) -> None:
    """It passes where the model is as it says, and fails where it is not."""
    low, high = (float(share.max()) for share in made.sure)
    kl_assert = kl.assert_far_field
    try:
        kl_assert(made.asked, made.table.X, high)
    except AssertionError as error:
        raise Wrong(f"it fails at {high:.3f}, which is the model's: {error}") from None
    if low <= 0:
        return
    try:
        kl_assert(made.asked, made.table.X, low - 0.5 / len(made.table.X))
    except AssertionError as error:
        require(is_clear(error), f"it says {error}")
        return
    raise Wrong(f"it passes below {low:.3f}, the share of the rows that end sure")


def guard(made: Made) -> None:
    """It predicts what the model predicts, is the model near by, and uniform far away."""
    found = kl.Guard(made.asked, random_state=0).fit(made.table.X)
    predicted = found.predict(made.table.X)
    same = (predicted == made.labels).mean()
    require(same == 1, f"it predicts what the model does on {same:.1%} of the rows")
    weight = found.weight(made.table.X)[:, None]
    classes = made.at_data.shape[1]
    error = np.abs(found.predict_proba(made.table.X) - weight * made.at_data - (1 - weight) / classes).max()
    require(error <= 10 * _PRECISION, f"probabilities near by are off by {error:.2g}")
    loss = float(np.mean(-np.log(weight)))
    require(loss <= 0.05, f"the log loss grows by up to {loss:.3f} on the data")
    rows, steps = made.rays
    far = found.predict_proba(made.table.moved(rows, 1e9 * steps))
    # A gap stays where it is.
    still = found.growth(*_shaped(made)).power == 0
    require(still.mean() < 0.2, f"it says that {still.mean():.0%} of the rays do not move")
    error = np.abs(np.where(still[:, None], far - found.predict_proba(rows), far - 1 / classes)).max()
    require(error <= CLOSE, f"probabilities at 1e9 are {error:.2g} from uniform")


def detector(name: str) -> Callable[[Made], None]:
    """The check of a detector: its scores grow as it says."""

    def check(made: Made) -> None:
        entry = kl.detectors.DETECTORS[name]
        table = made.table
        source = kl.detectors.Inputs(table.X) if entry.on_inputs else made.seen_by(Needs.FEATURES in entry.build(0).needs)
        fitted = entry.build(check_random_state(0)).fit(source, table.X, np.unique(table.y, return_inverse=True)[1])
        require(np.isfinite(fitted.score(table.X)).all(), "scores of the data are not finite")
        growth = fitted.far_field(*_shaped(made))
        rows, steps = made.rays
        # Differences of squares have no digits left at the largest.
        radii = (1e3, 1e5, *made.entry.radii[:2])
        seen = [fitted.score(table.moved(rows, radius * steps)) / radius ** growth.power.astype(float) for radius in radii]
        sizes = 1 + np.abs(growth.coefficient)
        check_limits(growth.coefficient / sizes, radii, [one / sizes for one in seen], 1e-3)

    check.__doc__ = f"Scores of {name} grow as it says."
    return check


def laplace(made: Made) -> None:
    """With a prior that leaves no doubt it is the model, and its limits are what it says far away."""
    table = made.table
    sharp = kl.LastLayerLaplace(made.asked, prior_precision=1e16).fit(table.X, table.y)
    error = np.abs(sharp.predict_proba(table.X) - made.at_data).max()
    require(error <= 1e-5, f"without doubt its probabilities are off by {error:.2g}")
    found = kl.LastLayerLaplace(made.asked).fit(table.X, table.y)
    rows, steps = made.rays
    radii = made.entry.radii[:3]
    seen = [found.predict_proba(table.moved(rows, radius * steps)) for radius in radii]
    check_limits(found.far_field(*_shaped(made)).probs[0], radii, seen, 1e-5)


def gradient_magnitude(made: Made) -> None:
    """Lengths of gradients are those of differences of the model's own entropy."""
    table = made.table
    # Beside the data: calibrations have their kinks just there.
    rows = table.moved(table.rows(np.arange(4)), np.tile(0.01 * table.deviations, (4, 1)))
    found = kl.scores.gradient_magnitude(made.asked, rows, "entropy")

    def entropy(steps: np.ndarray) -> np.ndarray:
        p = made.truth(table.moved(rows, steps))
        return -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(1)

    step = 1e-5
    differences = []
    for place in table.moves:
        to = np.zeros((len(rows), len(table.deviations)))
        to[:, place] = step * table.deviations[place]
        differences.append((entropy(to) - entropy(-to)) / (2 * to[:, place]))
    expected = np.linalg.norm(differences, axis=0)
    scale = 1 / table.deviations[list(table.moves)].max()
    error = (np.abs(found - expected) / (np.abs(expected) + 1e-4 * scale)).max()
    require(error <= 1e-3, f"lengths are {found}, differences have {expected}")


def save(made: Made) -> None:
    """What is written is read back as it was."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        kl.save(made.model, path)
        found = kl.load(path).predict_proba(made.table.X)
    require(np.array_equal(found, made.model.predict_proba(made.table.X)), "it is not what was written")


def command_line(made: Made) -> None:
    """`knowlimits audit` prints what `knowlimits.audit` finds."""
    table = made.table
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data.csv"
        lines = [",".join([*table.names, "kind"])]
        lines += [",".join([*map(repr, map(float, row)), str(label)]) for row, label in zip(table.X, table.y, strict=True)]
        data.write_text("\n".join(lines))
        with few_trees():
            result = run("audit", made.entry.file, data, "--target", "kind", "--test", data)
    if result.returncode:
        raise ValueError(result.stderr.strip())
    # The last lines say what to do next, in the shell or in Python.
    shell, python = (text.strip().rsplit("\n\n", 1)[0] for text in (result.stdout, str(made.audited)))
    require(shell == python, "it prints something else than the audit")


def mean_of(far: kl.FarField) -> np.ndarray:
    """The probabilities that a far field ends in."""
    return far.probs.mean(0)


def _probabilities(outputs: np.ndarray, made: Made) -> np.ndarray:
    """Probabilities of what a model returns, ``(n, members, outputs)``; of one number f those of (0, f)."""
    if kl.read(made.asked, X=made.table.X).returns == "probabilities":
        return outputs if outputs.shape[2] > 1 else np.concatenate([1 - outputs, outputs], axis=2)
    logits = outputs if outputs.shape[2] > 1 else np.concatenate([np.zeros_like(outputs), outputs], axis=2)
    return softmax(logits, axis=2)


def _shaped(made: Made) -> tuple:
    rows, steps = made.rays
    return rows, steps if made.table.is_frame else steps.reshape(rows.shape)


def _numbers(made: Made) -> bool:
    return not made.table.is_frame and np.isfinite(made.table.X).all()


@dataclass(frozen=True)
class Function:
    """A public function.

    Attributes:
        label: what the page calls it.
        check: raises `Wrong` where it is not right, and lets its refusals pass.
        applies: whether it can be asked about a model at all.
    """

    label: str
    check: Callable[[Made], None]
    applies: Callable[[Made], bool] = lambda made: True


FUNCTIONS: dict[str, Function] = {
    "read": Function("read", read),
    "far_field": Function("far_field", far_field),
    "partition": Function("partition", partition, _numbers),
    "horizon": Function("horizon", horizon, _numbers),
    "audit": Function("audit", audit),
    "assert_far_field": Function("assert_far_field", assert_far_field),
    "Guard": Function("Guard", guard),
    **{name: Function(name, detector(name)) for name, entry in kl.detectors.DETECTORS.items() if not entry.on_inputs},
    "LastLayerLaplace": Function("LastLayerLaplace", laplace),
    "gradient_magnitude": Function("gradient_magnitude", gradient_magnitude, _numbers),
    "save": Function("save", save),
    "command_line": Function("audit in the shell", command_line, lambda made: made.entry.file is not None),
}
INPUT_DETECTORS = tuple(name for name, entry in kl.detectors.DETECTORS.items() if entry.on_inputs)

# What a refusal may be: an error of these, in one line of ours.
REFUSALS = (ValueError, TypeError, NotImplementedError)
_OTHERS = re.compile(
    "mat1 and mat2|dtype|deepcopy|has no attribute|inhomogeneous|broadcast|NoneType|index out of|Expected|could not convert|"
    "not iterable|unexpected keyword|positional argument|cannot pickle|must be Tensor|not subscriptable|Input contains|"
    "This .* instance is not fitted yet|expecting|object is not|unsupported operand|shapes cannot be multiplied"
)
_REMEDY = re.compile(r"\b(must|cannot|give|pass|call|say|write|name|take|leave|enter|export|fit|use|see|put|set|read|remedy)\b")


def is_clear(error: Exception) -> bool:
    """Whether an error is one line of ours that says what to do."""
    text = str(error)
    return "\n" not in text and len(text) > 25 and not _OTHERS.search(text) and bool(_REMEDY.search(text))


def outcome(function: Function, made: Made) -> tuple[str, str]:
    """What comes of a cell: ``right``, ``refused``, ``wrong`` or ``raw``, and what was said."""
    try:
        function.check(made)
    except Wrong as error:
        return "wrong", str(error)
    except REFUSALS as error:
        return "refused" if is_clear(error) else "raw", f"{type(error).__name__}: {error}"
    except Exception as error:
        # Whatever else comes out of a function is what nobody should see.
        return "raw", f"{type(error).__name__}: {error}"
    return "right", ""
