"""The search itself: one driver draws trials in batches, workers train them, the driver writes down what came out."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sklearn.utils.validation import check_X_y

from knowlimits.options import check_choice
from knowlimits.progress import progress_bar
from knowlimits.train.classifiers import StackClassifier
from knowlimits.train.classifiers.holdout import check_rows
from knowlimits.train.search.space import Space
from knowlimits.train.search.storage import open_study
from knowlimits.train.search.trials import OBJECTIVES, Outcome, Problem, evaluate
from knowlimits.workers import Workers, workers


@dataclass(frozen=True)
class Sampler:
    """How trials are drawn.

    Attributes:
        make: a sampler of Optuna with a seed. Each trial has one of its own, whose seed is made of the search's and the trial's
            number, so that going on after an interruption draws what would have been drawn.
        batch: trials that train together: many train faster, and few are lost when it is interrupted.
        learns: whether it draws by what is known of earlier trials, and so wants to know soon.
    """

    make: Callable[[int], BaseSampler]
    batch: int
    learns: bool


SAMPLERS = {
    "random": Sampler(lambda seed: RandomSampler(seed=seed), batch=50, learns=False),
    "tpe": Sampler(lambda seed: TPESampler(seed=seed, constant_liar=True), batch=10, learns=True),
    "gp": Sampler(lambda seed: GPSampler(seed=seed), batch=10, learns=True),
}


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: its place in the search, from 0.
        parameters: of the estimator.
        drawn: what was drawn for it, as the storage has it.
        value: the mean of its scores; nan if it failed.
        scores: one for each repeat.
        failure: why it failed, or None.
    """

    number: int
    parameters: dict[str, Any]
    drawn: dict[str, Any] = field(repr=False)
    value: float
    scores: list[float]
    failure: str | None


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Attributes:
        trials: by number.
        ranked: those that did not fail, the best first.
        space: what was drawn from.
        objective: the name of the objective.
    """

    trials: list[Trial]
    ranked: list[Trial]
    space: Space
    objective: str

    @property
    def best(self) -> Trial:
        """The best trial.

        Raises:
            ValueError: if all failed.
        """
        if not self.ranked:
            raise ValueError(f"all {len(self.trials)} trials failed; the first because {self.trials[0].failure}.")
        return self.ranked[0]

    def importances(self) -> dict[str, float]:
        """The share of each parameter in the variance of the values, the largest first (fANOVA, Hutter et al., 2014).

        Empty with fewer than four trials that did not fail, or if all of these did equally well.
        """
        if len(self.ranked) < 4 or len({trial.value for trial in self.ranked}) == 1:
            return {}
        with _quiet():
            study = optuna.create_study()
            for trial in self.ranked:
                study.add_trial(create_trial(params=trial.drawn, distributions=self.space.drawn, value=trial.value))
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}


def search(
    estimator: StackClassifier,
    X: Any,
    y: Any,
    space: Mapping[str, Any] | Space,
    *,
    trials: int = 100,
    repeats: int = 5,
    objective: str = "auc",
    sampler: str = "random",
    seed: int = 0,
    storage: str | None = None,
    name: str = "search",
    dask: str | None = None,
    batch: int | None = None,
    verbose: bool = False,
) -> SearchResult:
    """Search for good hyperparameters of one of our classifiers, many trials at a time.

    Each trial is trained and scored `repeats` times, on splits of the data of its own: half of the rows to learn from, a
    quarter for early stopping, a quarter to score on. All repeats of a batch of trials train as one population. The same call
    again goes on where a storage says that an earlier one stopped; with more `trials` it goes further.

    Args:
        estimator: a classifier of ours; parameters that are not drawn keep its values.
        X: features, ``(n, features)``.
        y: labels, ``(n,)``.
        space: from names of parameters to a list of choices, a range ``{"low": 1e-4, "high": 0.1, "log": True}``, a
            distribution of Optuna, or a fixed value. ``layers`` and ``width`` stand for `hidden_sizes` of equal widths.
        trials: how many.
        repeats: how many times each is trained.
        objective: ``"auc"``, ``"log_loss"`` or ``"accuracy"`` on the held-out quarter, or ``"published"``, the AUC on the rows
            that it was trained on.
        sampler: ``"random"``, ``"tpe"``, or ``"gp"``, a Gaussian process, which takes seconds for a draw.
        seed: fixes draws, splits and initial weights.
        storage: the path of a journal file, ``sqlite:///FILE`` or ``postgresql://...``; without one nothing is kept.
        name: of the study in the storage.
        dask: ``"local"`` or the address of a Dask scheduler, to train on its workers.
        batch: trials that train together; by default 50, and 10 for a sampler that learns from results.
        verbose: show a progress bar with the best value so far.

    Raises:
        ValueError: if an argument is not as it should be, or the storage has a study of this name with other settings.
        StudyInUse: if another process is driving the study.

    Example:
        >>> import knowlimits as kl
        >>> from sklearn.datasets import make_moons
        >>> X, y = make_moons(200, noise=0.1, random_state=0)
        >>> space = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "dropout": [0.0, 0.1]}
        >>> result = kl.search(kl.NeuralNetwork(epochs=5), X, y, space, trials=4, repeats=2)
        >>> len(result.trials)
        4
    """
    if not isinstance(estimator, StackClassifier):
        raise TypeError(f"estimator must be a classifier of knowlimits. Got {type(estimator).__name__} instead.")
    for label, value in (("trials", trials), ("repeats", repeats), ("batch", 1 if batch is None else batch)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{label} must be a whole number of at least 1. Got {value!r} instead.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to {2**32 - 1}. Got {seed!r} instead.")
    check_choice("objective", objective, OBJECTIVES)
    check_choice("sampler", sampler, SAMPLERS)
    X, y = check_X_y(X, y, dtype="float64")
    space = Space.of(space, sorted(set(estimator.get_params()) - {"random_state", "device", "verbose"}))
    problem = Problem(estimator, X, y, repeats, objective, seed)
    check_rows(y)
    with _quiet():
        _check_trials(problem, space)
    settings = {
        "model": type(estimator).__name__,
        "parameters": {k: repr(v) for k, v in estimator.get_params().items() if k not in ("device", "verbose", "random_state")},
        "space": space.to_json(),
        "data": hashlib.sha256(np.ascontiguousarray(X).tobytes() + repr(y.tolist()).encode()).hexdigest()[:16],
        "repeats": repeats,
        "objective": objective,
        "sampler": sampler,
        "seed": seed,
    }
    direction = OBJECTIVES[objective].direction
    with _quiet(), open_study(storage, name, direction, settings) as study, workers(dask) as crew:
        _run(study, problem, space, trials, SAMPLERS[sampler], batch or SAMPLERS[sampler].batch, crew, verbose)
        finished = _finished(study)
    found = [_trial(number, finished[number], space) for number in sorted(finished) if number < trials]
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1
    ranked = sorted((t for t in found if t.failure is None), key=lambda t: (sign * t.value, t.number))
    return SearchResult(found, ranked, space, objective)


def _run(
    study: optuna.Study,
    problem: Problem,
    space: Space,
    trials: int,
    sampler: Sampler,
    size: int,
    crew: Workers,
    verbose: bool,
) -> None:
    """Train what is missing, and write down each trial as soon as it is known."""
    finished = _finished(study)
    missing = [number for number in range(trials) if number not in finished]
    shared = crew.share(problem)
    draw = _Draws(sampler, problem.seed, space, study.direction, finished.values())
    values = [trial.value for trial in finished.values() if trial.value is not None]
    best = max if study.direction == StudyDirection.MAXIMIZE else min
    with progress_bar(study.study_name, trials, verbose) as advance:
        if advance:
            advance(trials - len(missing))
        waiting: dict[Future, Sequence[tuple[int, dict[str, Any]]]] = {}
        while missing or waiting:
            # One batch more than there are workers, so that none waits for the driver.
            while missing and len(waiting) < crew.count + (crew.count > 1):
                batch = [(number, draw(number)) for number in missing[:size]]
                missing = missing[size:]
                parameters = [space.parameters(drawn) for _, drawn in batch]
                waiting[crew.submit(evaluate, shared, parameters)] = batch
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                batch = waiting.pop(future)
                for (number, drawn), outcome in zip(batch, future.result(), strict=True):
                    trial = _frozen(number, drawn, space, outcome)
                    study.add_trial(trial)
                    draw.learn(number, trial)
                    values += outcome.scores and [float(np.mean(outcome.scores))]
                if advance:
                    advance(len(batch), f"{study.study_name}, best {best(values):.4f}" if values else None)


class _Draws:
    """Draws parameters; each trial's hang on its number, and for samplers that learn on what is known by then."""

    def __init__(self, sampler: Sampler, seed: int, space: Space, direction: StudyDirection, known: Iterable[FrozenTrial]):
        self._sampler, self._seed, self._space = sampler, seed, space
        self._study = optuna.create_study(direction=direction)
        self._running: dict[int, optuna.Trial] = {}
        if sampler.learns:
            self._study.add_trials(known)

    def __call__(self, number: int) -> dict[str, Any]:
        sampler = self._sampler.make(int(np.random.SeedSequence([self._seed, 1, number]).generate_state(1)[0]))
        if not self._sampler.learns:
            # A study of its own, as one that grows would make each draw slower.
            return optuna.create_study(sampler=sampler).ask(self._space.drawn).params
        self._study.sampler = sampler
        self._running[number] = self._study.ask(self._space.drawn)
        return self._running[number].params

    def learn(self, number: int, trial: FrozenTrial) -> None:
        """Tell how a trial went."""
        if (running := self._running.pop(number, None)) is not None:
            self._study.tell(running, trial.value, state=trial.state)


def _check_trials(problem: Problem, space: Space) -> None:
    """Raise, before any is trained, if a fixed value or a choice is not what the estimator accepts."""
    drawn = optuna.create_study(sampler=RandomSampler(seed=0)).ask(space.drawn).params
    choices = [(name, c) for name, d in space.drawn.items() if isinstance(d, CategoricalDistribution) for c in d.choices]
    for name, choice in choices or list(drawn.items())[:1]:
        model = problem.model(space.parameters({**drawn, name: choice}), 0)
        model._check_trainable(problem.X.shape[1], len(np.unique(problem.y)))


def _frozen(number: int, drawn: dict[str, Any], space: Space, outcome: Outcome) -> FrozenTrial:
    failed = outcome.failure is not None
    return create_trial(
        params=drawn,
        distributions=space.drawn,
        state=TrialState.FAIL if failed else TrialState.COMPLETE,
        value=None if failed else float(np.mean(outcome.scores)),
        user_attrs={"number": number, "scores": outcome.scores, "failure": outcome.failure},
    )


def _finished(study: optuna.Study) -> dict[int, FrozenTrial]:
    """Trials by their number in the search; Optuna's own is the order in which they were written down."""
    return {trial.user_attrs["number"]: trial for trial in study.get_trials(deepcopy=False) if "number" in trial.user_attrs}


def _trial(number: int, trial: FrozenTrial, space: Space) -> Trial:
    value = np.nan if trial.value is None else trial.value
    attributes = trial.user_attrs
    return Trial(number, space.parameters(trial.params), trial.params, value, attributes["scores"], attributes["failure"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's lines for each study and for what else it could have installed."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
