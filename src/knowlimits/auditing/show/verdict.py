"""What the audit found, in plain sentences, each with its number."""

import numpy as np

from knowlimits.auditing.find.detection import WAYS
from knowlimits.auditing.find.directions import Directions
from knowlimits.auditing.find.features import SURE, Features, by_danger
from knowlimits.auditing.find.subject import Subject
from knowlimits.auditing.find.table import Table, number
from knowlimits.ood.panel import AS_IT_IS, GUARDED, LAPLACE

# A column makes the model sure of itself if it does so for this share of the rows.
_MOST = 0.5


def verdict(subject: Subject, features: Features, directions: Directions, detection: Table, remedies: Table) -> list[str]:
    """The sentences, the most important first."""
    sentences = [_overall(subject, features.table, features.sure[AS_IT_IS]), *_soonest(features.table)]
    sentences.append(_all_directions(directions))
    sentences.append(_rarest(directions))
    sentences.append(_as_detector(detection))
    return [*sentences, *_with_remedies(remedies)]


def _overall(subject: Subject, table: Table, share: float) -> str:
    names = subject.columns.names
    caught = {name for name in names if table.where(feature=name)["sure"].max() >= _MOST}
    if not caught:
        where = "towards none of them on half of the rows"
    elif len(caught) == len(names):
        where = "towards all of them on half of the rows at least"
    else:
        free = [repr(name) for name in names if name not in caught]
        where = f"towards {len(caught)} of them on half of the rows at least" + (
            f"; not towards {', '.join(free)}" if len(free) <= 3 else ""
        )
    columns = f"{len(names)} continuous columns" if len(names) > 1 else "its one continuous column"
    return (
        f"Let one of {columns} grow without bound, up or down: the model ends sure of itself (confidence {SURE} or more) along "
        f"{share:.1%} of the ways, {where}."
    )


def _soonest(table: Table) -> list[str]:
    k = by_danger(table)[0]
    if table["sure"][k] < _MOST:
        return []
    way = "up" if table["towards"][k] > 0 else "down"
    return [
        f"Soonest along {str(table['feature'][k])!r}, {way}: after {table['settled_sd_95'][k]:.3g} standard deviations "
        f"({number(table['settled_95'][k])} of its own unit) 95% of the rows are within 0.01 of that limit, in class "
        f"{table['classes'][k]}."
    ]


def _all_directions(directions: Directions) -> str:
    row = directions.table.where(model=AS_IT_IS)
    return (
        f"All columns together: it ends sure of itself in {row['sure'][0]:.1%} of all directions (95% interval "
        f"{row['sure_low'][0]:.1%} to {row['sure_high'][0]:.1%})."
    )


def _rarest(directions: Directions) -> str:
    parts = [
        f"{'more' if change > 0 else 'less'} {str(name)!r}"
        for name, change in zip(directions.steepest["feature"][:3], directions.steepest["change"][:3], strict=True)
        if change != 0
    ]
    reach = "" if np.isnan(directions.reach) else f", and is {SURE:.0%} after {directions.reach:.2g} standard deviations"
    return (
        f"Of its rarest class, {directions.rarest!s} ({directions.share:.1%} of the rows), it is surest towards "
        f"{', '.join(parts)}: there the probability tends to {directions.confidence:.2f}{reach}."
    )


def _as_detector(detection: Table) -> str:
    far = detection.where(way=WAYS[0], radius_sd=np.inf)
    own = far.where(score="entropy")
    best = int(np.argmax(far["auroc"] + 1e-6 * far["refused"]))
    value = own["auroc"][0]
    judged = "calls such rows more familiar than the data" if value < 0.5 else "finds such rows less familiar than the data"
    interval = f"{own['auroc_low'][0]:.2f} to {own['auroc_high'][0]:.2f}"
    return (
        f"At infinity its entropy {judged}: area under the ROC curve {value:.2f} ({interval}), where 0.5 is a coin; a "
        f"threshold that accepts 95% of the data refuses {own['refused'][0]:.0%}. The best of the scores there is "
        f"{str(far['score'][best]).replace('_', ' ')}: {far['auroc'][best]:.2f}, refusing {far['refused'][best]:.0%}."
    )


def _with_remedies(remedies: Table) -> list[str]:
    plain = remedies.where(model=AS_IT_IS)
    found = []
    laplace = remedies.where(model=LAPLACE)
    if len(laplace):
        found.append(
            f"With last-layer Laplace it ends sure of itself along {laplace['sure_features'][0]:.1%} of the ways, at a median "
            f"confidence of {laplace['confidence'][0]:.2f}."
        )
    guard = remedies.where(model=GUARDED)
    cost = guard["log_loss"][0] - plain["log_loss"][0]
    price = "" if np.isnan(cost) else f" The log loss on test rows changes by {cost:+.1g}."
    found.append(
        f"With the guard it ends at {guard['confidence'][0]:.2f} along every way, within 0.01 of it after "
        f"{guard['settled_sd'][0]:.3g} standard deviations, by proof, and keeps its predictions.{price}"
    )
    return found
