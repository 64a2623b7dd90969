"""All that an audit finds, in numbers and names, by its parts; what is shown is made of these alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlimits.auditing.find.codes import ByCode, of_codes
from knowlimits.auditing.find.columns import Continuous
from knowlimits.auditing.find.detection import Detection, detection
from knowlimits.auditing.find.directions import Directions, in_directions
from knowlimits.auditing.find.disc import Disc, disc
from knowlimits.auditing.find.faults import Faults, under_faults
from knowlimits.auditing.find.features import Features, along_features, columns_by_danger
from knowlimits.auditing.find.plausible import Plausible, plausible_ends, rows_moved, within_ranges
from knowlimits.auditing.find.remedies import beside
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table
from knowlimits.auditing.find.tested import Tested, on_test_rows
from knowlimits.ood.familiar import Shared
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
        data: stands for the rows and the test rows, and for those that were drawn of them; others have another.
        given, rows, test_rows: how many rows there were, how many of them stand for the data, and how many for familiar ones.
        held_out: whether the test rows were given as such; otherwise they are a quarter of the data.
        labelled: whether there were labels.
        features: along each column.
        directions: in any direction.
        detection: how well scores tell rows far away.
        remedies: a row for the model and each remedy.
        tested: what the model and its guard say of each of the test rows.
        plausible: what becomes of it within plausible ranges.
        faults: what becomes of it when something goes wrong with the data.
        codes: what it says for each value of columns that are codes.
        disc: the plane of the two columns that matter most; None where no two span one.
        with_gaps: how many of the rows and test rows have gaps.
        left: how many with gaps were left out.
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
    data: str
    given: int
    rows: int
    test_rows: int
    held_out: bool
    labelled: bool
    features: Features
    directions: Directions
    detection: Detection
    remedies: Table
    tested: Tested
    plausible: Plausible
    faults: Faults
    codes: ByCode
    disc: Disc | None
    with_gaps: int
    left: int
    categories: int
    without_laplace: str
    without_detectors: dict[str, str]


@dataclass(frozen=True, eq=False)
class Company:
    """What audits of several models on the same rows have in common, so that these are asked about the same ones.

    Attributes:
        shared: what they have learnt of the rows alone; None for a model that is alone.
        widest: as `along_features` has it.
        segments: `count`, as `within_ranges` has it.
    """

    shared: Shared | None = None
    widest: int | None = None
    segments: int | None = None

    @classmethod
    def of(cls, subjects: Sequence[Subject], ranges: Any) -> "Company":
        """That of some models, by which the heaviest is done in a while, with the ranges that people say."""
        widest = max(subject.model.widest(subject.rows.shape[1]) for subject in subjects)
        segments = []
        for subject in subjects:
            ends = plausible_ends(subject.columns, ranges)
            segments.append(rows_moved(subject, ends) if len(ends.value) else 1)
        return cls(Shared(), widest, min(segments))


def find(
    subject: Subject,
    layer: str | None,
    ranges: Any,
    faults: Any,
    rng: np.random.Generator,
    step: Callable[[str], None],
    company: Company | None = None,
) -> Findings:
    """Find it.

    Args:
        subject: the model and its data.
        layer: name of the submodule whose input are the features that detectors look at, or None.
        ranges: what people say that columns may be, or None.
        faults: those to try, or None for those that the data suggest.
        rng: what everything is drawn by.
        step: is told what comes next.
        company: what audits of other models have in common with this one; None for one that is alone.
    """
    data = subject.digest(rng)
    company = Company() if company is None else company
    # What is wrong with them is said before the work.
    plausible_ends(subject.columns, ranges)
    panel = Panel(layer).fit(subject.model, subject.rows, subject.labels, categories=subject.coded, shared=company.shared)
    # Each part draws by its own, so that what it draws does not hang on the model.
    draws = iter(rng.spawn(6))
    step("columns to infinity")
    features = along_features(subject, panel, next(draws), company.widest)
    step("directions")
    directions = in_directions(subject, panel, next(draws))
    step("scores by distance")
    scores = detection(subject, panel, next(draws))
    remedies = beside(subject, panel, features, directions, scores)
    step("plausible ranges")
    plausible = within_ranges(subject, ranges, next(draws), company.segments)
    step("faults in the data")
    tried = under_faults(subject, panel, scores, faults, next(draws), company.widest)
    codes = of_codes(subject, panel, next(draws), company.widest)
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
        data=data,
        given=subject.given,
        rows=len(subject.rows),
        test_rows=len(subject.test_rows),
        held_out=subject.held_out,
        labelled=subject.labelled,
        features=features,
        directions=directions,
        detection=scores,
        remedies=remedies,
        tested=on_test_rows(subject, panel),
        plausible=plausible,
        faults=tried,
        codes=codes,
        disc=picture,
        with_gaps=subject.with_gaps,
        left=subject.left,
        categories=len(subject.coded),
        without_laplace=panel.without_laplace,
        without_detectors=panel.left_out,
    )
