"""All that an audit finds, in numbers and names, by its parts; what is shown is made of these alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from knowlimits.auditing.find.columns import Continuous
from knowlimits.auditing.find.detection import Detection, detection
from knowlimits.auditing.find.directions import Directions, in_directions
from knowlimits.auditing.find.disc import Disc, disc
from knowlimits.auditing.find.features import Features, along_features, columns_by_danger
from knowlimits.auditing.find.remedies import beside
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.ood.panel import Panel


@dataclass(frozen=True)
class Findings:
    """What an audit found; arrays and names, no model.

    Attributes:
        model: what the model is called.
        members: how many it has.
        made_of: what, if it is no network, such as "300 trees"; ``""`` for one.
        rounded: sentences on what it computes otherwise than its file says.
        taken: what of a file was taken for the classifier, in words; ``""`` where there was no choice.
        classes: labels of its classes, ``(classes,)``.
        columns: those that were moved, and why others were not.
        given, rows, test_rows: how many rows there were, how many of them stand for the data, and how many for familiar ones.
        held_out: whether the test rows were given as such; otherwise they are a quarter of the data.
        labelled: whether there were labels.
        features: along each column.
        directions: in any direction.
        detection: how well scores tell rows far away.
        remedies: a row for the model and each remedy.
        disc: the plane of the two columns that matter most; None where no two span one.
        with_gaps: how many rows had gaps, and were left out.
        categories: how many columns are no numbers.
        without_laplace: why there is no last-layer Laplace, or ``""``.
        without_detectors: why a detector is none for the model, by its name.
    """

    model: str
    members: int
    made_of: str
    rounded: tuple[str, ...]
    taken: str
    classes: np.ndarray
    columns: Continuous
    given: int
    rows: int
    test_rows: int
    held_out: bool
    labelled: bool
    features: Features
    directions: Directions
    detection: Detection
    remedies: Table
    disc: Disc | None
    with_gaps: int
    categories: int
    without_laplace: str
    without_detectors: dict[str, str]


def find(subject: Subject, layer: str | None, rng: np.random.Generator, step: Callable[[str], None]) -> Findings:
    """Find it.

    Args:
        subject: the model and its data.
        layer: name of the submodule whose input are the features that detectors look at, or None.
        rng: what everything is drawn by.
        step: is told what comes next.
    """
    panel = Panel(layer).fit(subject.model, subject.rows, subject.labels)
    step("columns to infinity")
    features = along_features(subject, panel, rng)
    step("directions")
    directions = in_directions(subject, panel, rng)
    step("scores by distance")
    scores = detection(subject, panel, rng)
    remedies = beside(subject, panel, features, directions, scores)
    step("the plane of two columns")
    picture = disc(subject, columns_by_danger(features.order))
    step("done")
    return Findings(
        model=subject.model.name,
        members=subject.members,
        made_of=subject.model.made_of,
        rounded=subject.model.notes,
        taken=subject.model.taken,
        classes=subject.classes,
        columns=subject.columns,
        given=subject.given,
        rows=len(subject.rows),
        test_rows=len(subject.test_rows),
        held_out=subject.held_out,
        labelled=subject.labelled,
        features=features,
        directions=directions,
        detection=scores,
        remedies=remedies,
        disc=picture,
        with_gaps=subject.with_gaps,
        categories=subject.categories,
        without_laplace=panel.without_laplace,
        without_detectors=panel.left_out,
    )
