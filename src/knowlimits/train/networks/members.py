"""What distinguishes one member of a population from another, and the layers a member starts with.

A member's layers are matrices ``(out, in + 1)`` whose last column is the bias: the weight of a constant input 1.
"""

from dataclasses import dataclass, field

import numpy as np

Layers = list[np.ndarray]

# Every purpose has a random stream of its own, so that a member that draws more for one (a larger dropout layer, say)
# keeps its draws for the others. The numbers are part of what makes a seed reproducible: never renumber them.
_STREAMS = {"init": 0, "anchor": 1, "bootstrap": 2, "order": 3, "dropout": 4, "noise": 5, "predict": 6, "holdout": 7}


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of one member for one purpose."""
    sequence = np.random.SeedSequence(seed, spawn_key=(_STREAMS[purpose],))
    return np.random.Generator(np.random.SFC64(sequence))


@dataclass(frozen=True)
class Variational:
    """Settings of Bayes by backprop (Blundell et al., 2015).

    Attributes:
        mu: mean of the initial posterior means.
        rho: mean of the initial `rho`; a posterior's standard deviation is ``log(1 + exp(rho))``.
        prior_pi: weight of the first component of the scale-mixture prior (eq. 7).
        prior_sigma1: standard deviation of its first component.
        prior_sigma2: standard deviation of its second component.
        beta: weight of the KL term beside the likelihood; 1 is Bayes' rule.
        anneal: let the KL term's weight grow linearly from 0 to `beta` over the first 40% of all steps.
        kl_weights: how the KL term is spread over the mini-batches of an epoch (section 3.4): ``"geometric"``,
            ``2**(M - i) / (2**M - 1)`` for mini-batch `i` of `M`, or ``"uniform"``, ``1 / M``.
        samples: weight samples per step.
    """

    mu: float
    rho: float
    prior_pi: float
    prior_sigma1: float
    prior_sigma2: float
    beta: float
    anneal: bool
    kl_weights: str
    samples: int


@dataclass(frozen=True)
class Member:
    """One network to train: its shape, its data, its random numbers and how it learns.

    Attributes:
        sizes: features, hidden widths, outputs (one output for two classes).
        seed: what all its random numbers hang on.
        rows: the rows of the shared data that it learns from, with repetitions for a bootstrap sample.
        validation_rows: the rows that decide about early stopping; empty for none.
        learning_rate: step size of Adam.
        dropout: probability that a hidden unit is dropped in a training step.
        class_weight: ``(classes,)``, or ``"batch"``: weights that make the classes of each mini-batch equally heavy.
        batch_size: rows of a mini-batch.
        epochs: passes over its rows.
        patience: it stops after so many epochs in a row without a better validation loss.
        prior_variance: the anchored ensemble's prior N(0, prior_variance / fan_in), or None for no anchor.
        variational: settings of Bayes by backprop, or None for a network with weights that are numbers.
    """

    sizes: tuple[int, ...]
    seed: int
    rows: np.ndarray
    validation_rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    learning_rate: float = 1e-3
    dropout: float = 0.0
    class_weight: np.ndarray | str | None = None
    batch_size: int = 64
    epochs: int = 20
    patience: int = 5
    prior_variance: float | None = None
    variational: Variational | None = None

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return self.sizes[1:-1]

    def shapes(self) -> list[tuple[int, int]]:
        """Shapes of the layers, the bias column included."""
        return [(o, i + 1) for i, o in zip(self.sizes[:-1], self.sizes[1:], strict=True)]

    def initial_layers(self) -> Layers:
        """Weights before training.

        Uniform on +-1/sqrt(fan_in), as `torch.nn.Linear` starts; from the prior where the member is anchored (Pearce et
        al., 2020, algorithm 1); normal around `mu` where it is variational.
        """
        rng = stream(self.seed, "init")
        if self.variational is not None:
            return [rng.normal(self.variational.mu, 0.1, shape) for shape in self.shapes()]
        if self.prior_variance is not None:
            return self._draw_prior(rng)
        return [rng.uniform(-1, 1, shape) / np.sqrt(shape[1] - 1) for shape in self.shapes()]

    def initial_rho(self) -> Layers:
        """Posterior `rho` before training; drawn after the means, from the same stream."""
        assert self.variational is not None
        rng = stream(self.seed, "init")
        for shape in self.shapes():
            rng.normal(size=shape)
        return [rng.normal(self.variational.rho, 0.1, shape) for shape in self.shapes()]

    def anchors(self) -> Layers:
        """The values that the anchored ensemble's penalty pulls the weights to."""
        return self._draw_prior(stream(self.seed, "anchor"))

    def prior_variances(self) -> list[float]:
        """Variance of the anchored ensemble's prior, per layer."""
        assert self.prior_variance is not None
        return [self.prior_variance / (shape[1] - 1) for shape in self.shapes()]

    def _draw_prior(self, rng: np.random.Generator) -> Layers:
        scales = np.sqrt(self.prior_variances())
        return [rng.normal(0, scale, shape) for scale, shape in zip(scales, self.shapes(), strict=True)]
