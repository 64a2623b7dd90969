"""What the audit found, in plain sentences, each with its number."""

import numpy as np

from knowlimits.auditing.find.detection import NEARER, RADII, Detection
from knowlimits.auditing.find.directions import Directions
from knowlimits.auditing.find.features import SURE
from knowlimits.auditing.find.findings import Findings
from knowlimits.auditing.show import codes, faults, ranges
from knowlimits.auditing.show.labels import label, number, value
from knowlimits.ood.panel import AS_IT_IS, GUARDED, LAPLACE, UNFAMILIARITY

# Columns that a sentence names.
_NAMED = 5


def title(found: Findings) -> str:
    """What was audited, in a line."""
    members = f"{found.members} members, " if found.members > 1 else ""
    return f"{found.model}: {members}{len(found.classes)} classes, {len(found.columns.names)} continuous columns"


def verdict(found: Findings) -> list[str]:
    """The sentences, the most important first."""
    remedies = {row["model"]: row for row in found.remedies.rows()}
    return [
        *ranges.verdict(found.plausible),
        *faults.verdict(found.faults),
        *codes.verdict(found.codes, [found.faults.table["feature"][place] for place in found.faults.worst]),
        _overall(found, remedies[AS_IT_IS]["sure_features"]),
        *_soonest(found),
        *_all_directions(found),
        *_rarest(found.directions),
        _as_detector(found.detection),
        *_with_remedies(remedies, found.detection),
    ]


def notes(found: Findings) -> list[str]:
    """What was sampled, and what could not be done."""
    columns, drawn, rows = len(found.columns.names), len(found.features.curves.columns), found.features.rows
    test = "given" if found.held_out else "a quarter of the data, which the model may have seen"
    sentences = [f"The classifier in the file: {found.taken}."] if found.taken else []
    sentences += [
        *(f"{note}." for note in found.rounded),
        f"{found.given:,} rows were given; {found.rows:,} of them stand for the data, {found.test_rows:,} test "
        f"rows ({test}) for familiar ones.",
        f"Limits are exact, over {rows.limits:,} rows for the model and {rows.remedies:,} for its remedies; distances to where "
        f"the confidence settles are over {rows.distances:,} rows, found between places that are looked at, which grow by a "
        f"constant factor; curves are over {rows.curves:,} rows"
        + (f", for the {drawn:,} columns of {columns:,} that come first." if columns > drawn else "."),
    ]
    if found.left:
        sentences.append(
            f"{found.left:,} rows with gaps were left out, as what fills their gaps hangs on other columns, and they go in no "
            "straight lines where these move."
        )
    if found.with_gaps:
        sentences.append(
            f"{found.with_gaps:,} of these rows have gaps, and are taken as they are; a column that is missing in a row starts "
            "at its median when it moves, and detectors on inputs see medians, or values next to them, in place of gaps."
        )
    if found.categories:
        sentences.append(
            f"Codes stand for the categories of {found.categories:,} column{'s' if found.categories > 1 else ''}, also for "
            "detectors on inputs; the guard goes by which categories there are."
        )
    sentences += _moved_apart(found) + faults.notes(found.faults) + codes.notes(found.codes)
    if not found.labelled:
        sentences.append("No labels were given: the model's own predictions stand for them.")
    if found.features.approached:
        sentences.append("A dash for the last change: that limit is only approached, ever more closely.")
    if found.features.negligible:
        sentences.append(
            "The last change is that beyond which the outputs change no more but in straight lines, up to rounding: some units "
            "change farther out, as training may leave them, and bend no output by more."
        )
    return sentences + ranges.notes(found.plausible) + _left_out(found)


def guarded_file(outputs: str | None, shape: tuple[int, ...] | None) -> tuple[str, ...]:
    """The lines of Python that make a guarded file of a model, of inputs of such a shape, that was read with such outputs."""
    said = "" if outputs is None else f", outputs={outputs!r}"
    model = "model" if shape is None else f"kl.read(model, X=X, input_shape={shape})"
    return f"guard = kl.Guard({model}{said}).fit(X)", 'kl.export(guard, "guarded.onnx")'


def _left_out(found: Findings) -> list[str]:
    """What looks at something that the model does not have."""
    if found.made_of and found.without_laplace:
        names = [label(name) for name in found.without_detectors]
        scores = f", and scores of these ({', '.join(names)})" if names else ""
        # One reason for features, another for logits.
        lacks = "layers and logits" if len({*found.without_detectors.values()}) > 1 else "a last layer"
        return [f"{found.model} is made of {found.made_of}, without {lacks}: left out is last-layer Laplace{scores}."]
    sentences = [f"No last-layer Laplace: {found.without_laplace}"] if found.without_laplace else []
    for why in dict.fromkeys(found.without_detectors.values()):
        names = [label(name) for name, reason in found.without_detectors.items() if reason == why]
        sentences.append(f"Scores that were left out: {', '.join(names)}. {why}")
    return sentences


def _moved_apart(found: Findings) -> list[str]:
    """Which columns had no part in what is said of several columns together."""
    columns = found.columns
    alone = [name for name, together in zip(columns.names, columns.together, strict=True) if not together]
    bent = [
        name
        for name, together, straight in zip(columns.names, columns.together, columns.straight, strict=True)
        if together and not straight
    ]
    sentences = []
    if alone:
        sentences.append(
            "Moved one by one, as the steps before the model slow them down without end, and never with others: "
            f"{_named(alone)}."
        )
    if bent:
        sentences.append(
            "Without a part in the direction of the rarest class, as the steps before the model bring them to a constant: "
            f"{_named(bent)}."
        )
    return sentences


def _named(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMED]))
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more columns"


def _overall(found: Findings, share: float) -> str:
    names, caught = found.columns.names, found.features.caught
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


def _soonest(found: Findings) -> list[str]:
    if not found.features.caught:
        return []
    place = found.features.order[0]
    first = found.features.table.take(np.array([place])).rows()[0]
    if np.isnan(first["settled_sd_95"]):
        return []
    way = "up" if first["towards"] > 0 else "down"
    last = ""
    if np.isfinite(first["last_value"]):
        rounding = ", up to rounding" if found.features.negligible else ""
        last = f" Beyond {first['feature']} = {value(first['last_value'])} nothing changes any more{rounding}."
    return [
        f"Soonest along {str(first['feature'])!r}, {way}: after {first['settled_sd_95']:.3g} standard deviations "
        f"({number(first['settled_95'])} of its own unit) 95% of the rows are within 0.01 of that limit, in class "
        f"{first['classes']}.{last}"
    ]


def _all_directions(found: Findings) -> list[str]:
    rows = found.directions.table.where(model=AS_IT_IS).rows()
    together = int(found.columns.together.sum())
    which = "All columns" if together == len(found.columns.names) else f"{together} of the columns"
    return [
        f"{which} together: it ends sure of itself in {row['sure']:.1%} of all directions (95% interval "
        f"{row['sure_low']:.1%} to {row['sure_high']:.1%})."
        for row in rows
    ]


def _rarest(directions: Directions) -> list[str]:
    if not len(directions.steepest):
        return []
    parts = [
        f"{'more' if change > 0 else 'less'} {str(name)!r}"
        for name, change in zip(directions.steepest["feature"][:3], directions.steepest["change"][:3], strict=True)
        if change != 0
    ]
    of = f"Of its rarest class, {directions.rarest!s} ({directions.share:.1%} of the rows), it is "
    if directions.alike == directions.tried:
        return [f"{of}as sure in all of {directions.tried:,} directions: the probability tends to {directions.confidence:.2f}."]
    tried, say = "", ""
    if not directions.improved and directions.alike > 1:
        tried, say = f" in {directions.alike:,} of {directions.tried:,} directions,", ", say"
    elif not directions.improved:
        tried = f", of {directions.tried:,} directions,"
    reach = "" if np.isnan(directions.reach) else f", and is {SURE:.0%} after {directions.reach:.2g} standard deviations"
    return [
        f"{of}surest{tried} towards {', '.join(parts)}{say}: there the probability tends to {directions.confidence:.2f}{reach}."
    ]


def _as_detector(found: Detection) -> str:
    # Rows of which one column went to infinity.
    auroc, low, high, refused = (values[:, 0, -1] for values in (found.auroc, found.auroc_low, found.auroc_high, found.refused))
    own = found.scores.index("entropy")
    judged = "does not tell such rows from the data"
    if high[own] < 0.5:
        judged = "calls such rows more familiar than the data"
    elif low[own] > 0.5:
        judged = "finds such rows less familiar than the data"
    return (
        f"At infinity its entropy {judged}: area under the ROC curve {auroc[own]:.2f} ({low[own]:.2f} to "
        f"{high[own]:.2f}), where 0.5 is a coin; a threshold that accepts 95% of the data refuses {refused[own]:.0%}. "
        + _best(found)
    )


def _best(found: Detection) -> str:
    """The best score at infinity; of several that are as good, the best nearer by."""
    best, called = found.best, label(found.scores[found.best])
    auroc, refused = found.auroc[:, 0, -1], found.refused[:, 0, -1]
    alike = int(((auroc == auroc[best]) & (refused == refused[best])).sum())
    end = f"{auroc[best]:.2f}, refusing {refused[best]:.0%}"
    if alike == 1:
        return f"The best of the scores there: {called}, {end}."
    near = found.auroc[best, 0, NEARER], found.refused[best, 0, NEARER]
    return (
        f"The best there are {alike} scores alike: {end}. Nearer by the best of them, on the mean over distances: {called}, "
        f"{near[0]:.2f} at {RADII[NEARER]:g} standard deviations, refusing {near[1]:.0%}."
    )


def _with_remedies(remedies: dict[str, dict[str, float]], scores: Detection) -> list[str]:
    plain, guard = remedies[AS_IT_IS], remedies[GUARDED]
    sentences = []
    if laplace := remedies.get(LAPLACE):
        sentences.append(
            f"With last-layer Laplace it ends sure of itself along {laplace['sure_features']:.1%} of the ways, at a median "
            f"confidence of {laplace['confidence']:.2f}."
        )
    # Infinite less infinite is no number: a model that gives a row's class no probability.
    known = np.isfinite(plain["log_loss"])
    cost = guard["log_loss"] - plain["log_loss"] if known else float("nan")
    price = "" if np.isnan(cost) else f" The log loss on test rows changes by {cost:+.1g}."
    sentences.append(
        f"With the guard it ends at {guard['confidence']:.2f} along every way, within 0.01 of it after "
        f"{guard['settled_sd']:.3g} standard deviations, by proof, and keeps its predictions.{price}"
    )
    place = scores.scores.index(UNFAMILIARITY)
    refused = scores.refused[place, 0]
    sentences.append(
        f"The guard accepts {scores.kept[place]:.1%} of the test rows (95% interval {scores.kept_low[place]:.1%} to "
        f"{scores.kept_high[place]:.1%}). Of rows of which one column moved by {RADII[NEARER]:g} standard deviations it "
        f"refuses {refused[NEARER]:.0%}, and at infinity {refused[-1]:.0%}."
    )
    return sentences
