"""A guard as a torch module: the same numbers, with gradients, and in what `torch.export` takes."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from knowlimits.model.copies import copied
from knowlimits.model.model import Model
from knowlimits.model.network import Network, as_probabilities
from knowlimits.model.outputs import probabilities_of
from knowlimits.model.read import read
from knowlimits.model.stack import Stack
from knowlimits.ood.columns import Columns
from knowlimits.ood.density.ratio import LogRatio
from knowlimits.ood.sizes import LARGEST

_REMEDY = ": write the whole guard as a file by knowlimits.export, which takes text and gaps."


class Verdict(NamedTuple):
    """What a guard says of rows.

    Attributes:
        probabilities: ``(n, classes)``, those of refused rows uniform.
        unfamiliarity: ``(n,)``, in float64; infinite where a row is refused whatever the density says.
        accepted: ``(n,)``, truth values.
    """

    probabilities: Tensor
    unfamiliarity: Tensor
    accepted: Tensor


class KeptDoubles(nn.Module):
    """Numbers in float64 that stay so: `module.to(torch.float32)` moves them with a module, and leaves each bit of theirs.

    Args:
        numbers: arrays, by name.
    """

    def __init__(self, **numbers: Any):
        super().__init__()
        for name, values in numbers.items():
            # As integers, which a module's type of floats says nothing about.
            self.register_buffer(name, torch.tensor(np.asarray(values, dtype=np.float64)).view(torch.int64))

    def number(self, name: str) -> Tensor:
        """One of them."""
        return getattr(self, name).view(torch.float64)


class GuardModule(nn.Module):
    """The guard of a network as a torch module: rows ``(n, ...)`` to a `Verdict`.

    Gradients go through probabilities and unfamiliarity. Nothing that it gives is nan: a row that is refused, or of whose
    probabilities the guard keeps nothing, is not shown to the network, which gets the middle of the columns in its place, and
    where the network gives no numbers all the same, the probabilities are uniform and the row is not accepted.

    `.to` moves it and changes the precision of the network alone: all else is in float64. Which class is predicted is not said,
    as that is the model's own to say; where it is the likeliest one, `probabilities.argmax(1)` is its place.

    Args:
        networks: of the model, behind its steps.
        columns: which must all be of numbers.
        ratio: of the guard.
        classes: how many there are.
        shift: of the guard.
        threshold: of the guard.
    """

    def __init__(
        self,
        networks: tuple[Network | Stack, ...],
        columns: Columns,
        ratio: LogRatio,
        classes: int,
        shift: float,
        threshold: float,
    ):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.members: int = sum(network.members for network in networks)
        self.classes, self.components = classes, len(ratio.constants)
        k, d = ratio.shifts.shape
        self.numbers = KeptDoubles(
            low=columns.low,
            high=columns.high,
            # Gaps are filled where there were some; nan stays where there were none.
            fill=np.where(columns.gaps, columns.fill, np.nan),
            middle=columns.fill,
            centre=ratio.centre,
            scale=ratio.scale,
            factors=ratio.factors.reshape(k * d, d).T.copy(),
            shifts=ratio.shifts.ravel(),
            constants=ratio.constants,
            reach=ratio.reach,
            steepness=ratio.steepness,
            shift=shift,
            threshold=threshold,
        )

    def forward(self, x: Tensor) -> Verdict:
        """Judge."""
        number = self.numbers.number
        rows = x.flatten(1)
        # The end of a range is rounded as what lies on it is, so that it stays inside.
        outside = (rows < number("low").to(rows.dtype)) | (rows > number("high").to(rows.dtype))
        rows = rows.double()
        rows = torch.where(rows.isnan(), number("fill"), rows)
        ordinary = ~(outside | ~rows.isfinite()).any(1)
        ratio = self._log_ratio(rows, ordinary)
        weight = torch.sigmoid(ratio + number("shift"))[:, None]
        kept = weight > 0
        own = self._own(torch.where(kept, rows, number("middle")).reshape(x.shape))
        mixed = weight * own.double() + (1 - weight) / self.classes
        sound = mixed.detach().sum(1, keepdim=True).isfinite()
        probabilities = torch.where(kept & sound, mixed, 1 / self.classes)
        accepted = (-ratio <= number("threshold")) & sound[:, 0]
        return Verdict(probabilities, -ratio, accepted)

    def _log_ratio(self, rows: Tensor, ordinary: Tensor) -> Tensor:
        """The log ratio, ``(n,)``, of rows that are ordinary, as `LogRatio` has it; minus infinity of others."""
        number = self.numbers.number
        z = ((rows - number("centre")) / number("scale")).nan_to_num()
        z = torch.where(ordinary[:, None], z, 0.0)
        # Where squares could overflow, its leading term stands for it, of a way of size 1.
        sizes = z.detach().abs().amax(1)
        far = sizes > LARGEST
        sizes = torch.where(far, sizes, 1.0)
        z = z / sizes[:, None]
        shifts = torch.where(far[:, None], 0.0, number("shifts"))
        squares = (z @ number("factors") - shifts).unflatten(1, (self.components, -1)).square().sum(2)
        leading = -(0.5 * squares.amin(1) + number("steepness") * z.square().sum(1)) * sizes.square()
        beyond = (z.abs() - number("reach")).relu().square().sum(1)
        ratio = torch.logsumexp(number("constants") - 0.5 * squares, 1) - number("steepness") * beyond
        # That far out nothing is kept of the network, and gradients are 0.
        return torch.where(ordinary, torch.where(far, leading.detach(), ratio), -torch.inf)

    def _own(self, x: Tensor) -> Tensor:
        """The network's probabilities, the mean over its members, ``(n, classes)``."""
        total: Any = 0
        for network in self.networks:
            # A list, as torch 2.6 exports no `next`.
            floats = [p.dtype for p in network.parameters() if p.is_floating_point()]
            total = total + _probabilities(network, x.to(floats[0] if floats else torch.float64)).sum(0)
        return total / self.members


def module_of(guard: Any, answering: Any) -> GuardModule:
    """The guard of a network as a torch module.

    Args:
        guard: a fitted `Guard`.
        answering: what answers for its model.

    Raises:
        TypeError: if its model is no network, or is one behind steps that are no layers, or columns are no numbers.
    """
    columns: Columns = guard.columns_
    if len(columns.categorical):
        names = ", ".join(columns.names[place] for place in columns.categorical[:5])
        raise TypeError(f"columns must be numbers to become a torch module. Got {names}{_REMEDY}")
    model = answering if isinstance(answering, Model) else read(guard.model, guard.outputs)
    if model.no_network:
        raise TypeError(f"model must be a network to become a torch module. {model.no_network}{_REMEDY}")
    if not model.as_layers:
        raise TypeError(f"model must have steps that are layers, as scalers are, to become a torch module. Got others{_REMEDY}")
    networks: Any = copied(model.networks)
    return GuardModule(networks, columns, guard.ratio_, len(guard.classes_), guard.shift_, guard.threshold_)


def _probabilities(network: Any, x: Tensor) -> Tensor:
    """Probabilities of the members, ``(members, n, classes)``."""
    if isinstance(network, Network) and network.casts and x.dtype != torch.float64:
        # It casts as it was written to, in which no mode has to help.
        returned = network.axes.arranged(network.module(x))
        return network.spread(as_probabilities(returned.double(), network.outputs))
    return probabilities_of(network, x)
