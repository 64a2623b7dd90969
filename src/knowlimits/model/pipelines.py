"""What the steps of a scikit-learn Pipeline before its network do to rows: an affine map of the columns that may move.

Columns that go through anything else (an encoder of categories, say) are held: along a ray that leaves them alone, the map is
affine all the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class AffineSteps:
    """How what comes out of fitted steps moves with what goes in.

    Attributes:
        matrix: ``(outputs, columns)``, with zeros for held columns.
        shift: ``(outputs,)``; of no meaning for outputs that hang on held columns.
        held: for each column the step that is not affine in it, or ``""``.
    """

    matrix: np.ndarray
    shift: np.ndarray
    held: tuple[str, ...]

    def then(self, later: "AffineSteps") -> "AffineSteps":
        """These steps and later ones."""
        held = list(self.held)
        for output, name in enumerate(later.held):
            for column in np.flatnonzero(self.matrix[output]) if name else ():
                held[column] = held[column] or name
        matrix = later.matrix @ self.matrix
        matrix[:, [bool(name) for name in held]] = 0
        return AffineSteps(matrix, later.matrix @ self.shift + later.shift, tuple(held))


@dataclass(frozen=True, eq=False)
class Steps:
    """The fitted steps of a Pipeline before its classifier.

    Attributes:
        transformer: they themselves, as a Pipeline; None where there are none.
        affine: what they do to columns that may move.
    """

    transformer: Any
    affine: AffineSteps

    @classmethod
    def of(cls, pipeline: Any) -> "Steps":
        """The steps before the last of a fitted Pipeline."""
        return cls(pipeline[:-1] if len(pipeline) > 1 else None, before_last(pipeline))

    def transform(self, X: Any) -> np.ndarray:
        """What comes out of the steps for rows of a table, in float64."""
        seen = X if self.transformer is None else self.transformer.transform(X)
        return np.array(seen.toarray() if hasattr(seen, "toarray") else seen, dtype=np.float64, order="C")

    def __str__(self) -> str:
        named = getattr(self.transformer, "steps", ())
        names = ", ".join(step if isinstance(step, str) else type(step).__name__ for _, step in named) or "none"
        held = [name for name in self.affine.held if name]
        return f"{names}; {len(held)} of {len(self.affine.held)} columns go through {held[0]}" if held else names


def before_last(pipeline: Any) -> AffineSteps:
    """The steps of a fitted Pipeline before the last."""
    return _chain([step for _, step in pipeline.steps[:-1]], pipeline.n_features_in_)


def _chain(steps: list[Any], columns: int) -> AffineSteps:
    whole = _identity(columns)
    for step in steps:
        whole = whole.then(_affine(step, len(whole.shift)))
    return whole


def _identity(columns: int) -> AffineSteps:
    return AffineSteps(np.eye(columns), np.zeros(columns), ("",) * columns)


def _diagonal(scale: np.ndarray, shift: np.ndarray) -> AffineSteps:
    return AffineSteps(np.diag(scale), shift, ("",) * len(shift))


def _affine(step: Any, columns: int) -> AffineSteps:
    """What a fitted transformer does."""
    name = type(step).__name__
    scale, zeros = np.ones(columns), np.zeros(columns)
    if step is None or step == "passthrough" or (name == "FunctionTransformer" and step.func is None):
        return _identity(columns)
    if name in ("StandardScaler", "RobustScaler", "MaxAbsScaler"):
        centre = getattr(step, "mean_", None) if name == "StandardScaler" else getattr(step, "center_", None)
        if name == "StandardScaler" and not step.with_mean:
            centre = None
        if getattr(step, "scale_", None) is not None:
            scale = 1 / step.scale_
        return _diagonal(scale, zeros if centre is None else -centre * scale)
    if name == "MinMaxScaler" and not step.clip:
        return _diagonal(step.scale_, step.min_)
    if name == "SimpleImputer" and not step.add_indicator and len(step.get_feature_names_out()) == columns:
        # Rows without gaps pass as they are.
        return _identity(columns)
    if name == "PCA":
        matrix = step.components_
        if step.whiten:
            matrix = matrix / np.sqrt(step.explained_variance_)[:, None]
        return AffineSteps(matrix, -matrix @ step.mean_, ("",) * columns)
    if hasattr(step, "get_support"):
        matrix = np.eye(columns)[step.get_support()]
        return AffineSteps(matrix, np.zeros(len(matrix)), ("",) * columns)
    if name == "ColumnTransformer":
        return _side_by_side(step, columns)
    if name == "Pipeline":
        return _chain([inner for _, inner in step.steps], columns)
    outputs = len(step.get_feature_names_out()) if hasattr(step, "get_feature_names_out") else columns
    label = f"{name} with clip=True" if name == "MinMaxScaler" else name
    return AffineSteps(np.zeros((outputs, columns)), np.zeros(outputs), (label,) * columns)


def _side_by_side(step: Any, columns: int) -> AffineSteps:
    """A ColumnTransformer: its parts, each on some of the columns."""
    rows, shifts, held = [np.zeros((0, columns))], [np.zeros(0)], [""] * columns
    for label, transformer, _ in step.transformers_:
        chosen = np.arange(columns)[step._transformer_to_input_indices[label]]
        if transformer == "drop" or not len(chosen):
            continue
        part = _affine(transformer, len(chosen))
        matrix = np.zeros((len(part.shift), columns))
        matrix[:, chosen] = part.matrix
        rows.append(matrix)
        shifts.append(part.shift)
        for column, name in zip(chosen, part.held, strict=True):
            held[column] = held[column] or name
    matrix = np.concatenate(rows)
    # A column may go through several parts.
    matrix[:, [bool(name) for name in held]] = 0
    return AffineSteps(matrix, np.concatenate(shifts), tuple(held))
