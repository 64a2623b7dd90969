"""What was measured, in tables: as CSV, and in a summary that puts tables and figures in order."""

from collections.abc import Sequence
from dataclasses import dataclass

from knowlimits.auditing.show.labels import label
from knowlimits.studies.half_moons import METRICS
from knowlimits.studies.markdown import table
from knowlimits.studies.paper.departures import Departure
from knowlimits.studies.paper.distances import DISTANCES, DetectionByDistance
from knowlimits.studies.paper.far_away import CONFIDENT, SCORES, Limits, Polytopes
from knowlimits.studies.paper.maps import Map

#: Columns of the table as people read them.
HEADINGS = {
    "auc": "test AUC",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "brier": "Brier score",
    "published_auc": "AUC as published",
}
# The names of columns, and rows.
_Csv = tuple[list[str], list[list[object]]]


@dataclass(frozen=True)
class Quality:
    """How well one model classifies: mean and standard deviation of every metric over the repetitions."""

    model: str
    mean: dict[str, float]
    deviation: dict[str, float]


@dataclass(frozen=True)
class Results:
    """Everything that the summary tells.

    Attributes:
        qualities, maps, limits, polytopes, detection: what was measured.
        seeds: draws of the data.
        draws: those on which polytopes and departures were measured.
        individual: whether every map has a file of its own.
        departures: those from the published code; none until they are measured, which is last.
    """

    qualities: Sequence[Quality]
    maps: Sequence[Map]
    limits: Sequence[Limits]
    polytopes: Sequence[Polytopes]
    detection: Sequence[DetectionByDistance]
    seeds: int
    draws: int
    individual: bool
    departures: Sequence[Departure] = ()


def quality_csv(qualities: Sequence[Quality]) -> _Csv:
    """Columns and rows of `tables/models.csv`."""
    columns = ["model", *(f"{metric}_{kind}" for metric in METRICS for kind in ("mean", "std"))]
    return columns, [[q.model, *(f"{v[m]:.6f}" for m in METRICS for v in (q.mean, q.deviation))] for q in qualities]


def limits_csv(limits: Sequence[Limits]) -> _Csv:
    """Columns and rows of `tables/far_away.csv`."""
    columns = ["model", "confident_near", "confident_far", "radius"]
    columns += [f"{score}_{place}" for score in SCORES for place in ("near", "far")]
    rows = []
    for one in limits:
        values = [value for score in SCORES for value in (one.near[score], one.far[score])]
        numbers = [one.confident_near, one.confident_far, one.radius, *values]
        rows.append([one.model, *(f"{value:.6g}" for value in numbers)])
    return columns, rows


def polytopes_csv(polytopes: Sequence[Polytopes]) -> _Csv:
    """Columns and rows of `tables/polytopes.csv`."""
    columns = ["model", "cells", "unbounded", "share_confident"]
    return columns, [[p.model, *(f"{value:.6g}" for value in (p.cells, p.unbounded, p.share))] for p in polytopes]


def detection_csv(detection: Sequence[DetectionByDistance]) -> _Csv:
    """Columns and rows of `tables/detection.csv`."""
    columns = ["model", "score", *(f"{distance:.4g}" for distance in DISTANCES)]
    return columns, [[one.model, one.score, *(f"{value:.4f}" for value in one.aurocs)] for one in detection]


def departures_csv(departures: Sequence[Departure]) -> _Csv:
    """Columns and rows of `tables/departures.csv`."""
    columns = ["number", "departure", "measure", "published", "ours"]
    return columns, [[d.number, d.title, d.measure, f"{d.published:.6g}", f"{d.ours:.6g}"] for d in departures]


def quality_markdown(qualities: Sequence[Quality]) -> str:
    """How well the models classify."""
    rows = [[q.model, *(f"{q.mean[m]:.3f} ± {q.deviation[m]:.3f}" for m in METRICS)] for q in qualities]
    return table(["model", *(HEADINGS[m] for m in METRICS)], rows)


def _limits_markdown(limits: Sequence[Limits]) -> str:
    titles = [f"confidence ≥ {CONFIDENT}", *(score.replace("_", " ") for score in SCORES)]
    rows = []
    for one in limits:
        pairs = [f"{one.near[score]:.3f} → {one.far[score]:.3f}" for score in SCORES]
        rows.append([one.model, f"{one.radius:.0f}", f"{one.confident_near:.0%} → {one.confident_far:.0%}", *pairs])
    return table(["model", "last radius", *titles], rows)


def _polytopes_markdown(polytopes: Sequence[Polytopes]) -> str:
    rows = [[p.model, f"{p.cells:,.0f}", f"{p.unbounded:.0f}", f"{p.share:.1%}"] for p in polytopes]
    return table(["model", "cells", "unbounded", f"directions with confidence ≥ {CONFIDENT}"], rows)


def detection_markdown(detection: Sequence[DetectionByDistance]) -> str:
    """At infinity, a row for each score."""
    models = list(dict.fromkeys(one.model for one in detection))
    names = list(dict.fromkeys(one.score for one in detection))
    at = {(one.model, one.score): f"{one.aurocs[-1]:.2f}" for one in detection}
    rows = [[label(name), *(at.get((model, name), "") for model in models)] for name in names]
    return table(["score", *models], rows)


def _departures_markdown(departures: Sequence[Departure]) -> str:
    rows = []
    for before, d in zip([None, *departures], departures, strict=False):
        number, title = ("", "") if before and before.number == d.number else (str(d.number), d.title)
        rows.append([number, title, d.measure, f"{d.published:.3g}", f"{d.ours:.3g}"])
    return table(["", "the published code", "measured", "published", "ours"], rows, text=(1, 2))


def summary(results: Results) -> str:
    """All of it in Markdown."""
    first, seeds, draws = results.maps[0], results.seeds, results.draws
    text = f"""# The half-moons experiments of "Know Your Limits" (Ulmer and Cina, UAI 2021)

Written by `knowlimits reproduce`; `config.json` has versions, seeds and every setting.

## How well the models classify

{quality_markdown(results.qualities)}

Mean and standard deviation over {seeds} draws of the data with fresh networks, on 10,000 test points that no model has seen.
The last column is the AUC as the published code computes it, from hard labels on the training points.

## A score and how it changes

![A score map beside its gradient](figures/first.png)

On the left the {first.score} of {first.model} around the training data, on the right the length of its gradient with
respect to the input. Far from the data the score keeps its value along a ray, and the gradient dies out.

## Uncertainty scores (figures 3, 5 and 6 of the paper)

![Score maps](figures/scores.png)

Each map is a score of the model trained on the first draw of the data; darker is less sure, and all models share the scale of
a row. Far from the data the colours no longer change along rays: the models are as sure, or as unsure, as they will ever be.

## How the scores change

![Gradient maps](figures/gradients.png)

Each map is the length of the score's gradient with respect to the input, in a logarithmic scale of six decades that a row
shares. It falls towards zero away from the decision boundaries, and the edges of the network's linear regions show as kinks.

## Near the data, and infinitely far away

{_limits_markdown(results.limits)}

In each cell the test data on the left, and on the right the exact limit along rays from every training point in twelve evenly
spread directions: the share of points, and of rays, with a confidence of {CONFIDENT} or more; and the median of every score,
entropies in bits. The last radius is the median distance beyond which no unit of any member changes. Means over {seeds} draws.

![Confidence and scores along twelve rays](figures/rays.png)

The models of the first draw along twelve rays from the mean of the training data. From 1 on, the grey line, every unit is as it
will be for ever; the dots at the right edge are the exact limits, computed without going there.

## Polytopes

{_polytopes_markdown(results.polytopes)}

Cells of a member on the whole plane, how many of them are unbounded, and the exact share of all directions in which the model's
limiting confidence is {CONFIDENT} or more. Means over members (ten at most) and {draws} draws.

![Every model on the whole plane, in a disc](figures/horizons.png)

The whole plane of every model in a disc: its middle is the mean of the data, its rim infinity. Inside the entropy and the
polytopes of one member, round the rim the exact limit of the entropy in every direction.

![Figure 1 of the paper](figures/clusters.png)

Figure 1 of the paper: a network for nine clusters, its entropy and its polytopes on [-5, 5]^2.

## Telling far-away points from test data

Area under the ROC curve of test data against the exact limits at infinity in 360 directions, of the first draw:
1 is perfect, 0.5 a coin, 0 calls everything far away familiar. `tables/detection.csv` has the way there.

{detection_markdown(results.detection)}

![Detection by distance](figures/detection.png)

![Confidence far round the half-moons](figures/remedies.png)

The confidence of a network far round the data, of an ensemble, and with two remedies: last-layer Laplace lowers
it to other constants, the guard lets it fade to one half in every direction.
"""
    if results.departures:
        text += f"""
## Where the published code does otherwise

{_departures_markdown(results.departures)}

Each row is the published behaviour beside ours on the same data, the mean over {draws} draws. What each number stands for,
and what the papers ask for, is in the list at the head of `knowlimits/studies/paper/departures.py`.
"""
    if results.individual:
        text += "\n## Every map alone\n"
        for r in results.maps:
            for kind in ("scores", "gradients"):
                text += f"\n- [{r.model}, {r.score}, {kind}](figures/{r.model}-{r.score}-{kind}.png)"
        text += "\n"
    return text
