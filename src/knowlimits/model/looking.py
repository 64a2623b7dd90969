"""Looking at a module: where rows and members are in what it returns, and what that is, told by running it on a few rows.

It runs at two batch sizes, so that no axis is taken for the rows by luck. What it ends in is looked for among its operations,
and what it returns is looked at near by and far out.
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits.model.arrays import first_line, wrong_shape
from knowlimits.model.casts import in_float64
from knowlimits.model.endings import Ending, Last, Outputs, counted
from knowlimits.model.network import Axes, Network
from knowlimits.model.signature import Called, picked

# How often a module that asks for random numbers is called again, and on how many rows: no fewer than it is held to later.
_DRAWS, _DRAWN_ON = 10, 8
# How far out outputs are looked at.
_FAR = 1e3
# Rounding of what adds up to 1, and of one way to compute a softmax beside another.
_SAME = 1e-6
# Whether a function of what is returned without some squashing operations, and a logarithm, gives the outputs far out, too.
_Holds = Callable[[tuple[int, ...], bool, Callable[[Tensor], Tensor]], bool]


def look(module: nn.Module, rows: Tensor, outputs: Outputs | None = None, otherwise: Outputs | None = None) -> Network:
    """A module in float64 with what is found out about it.

    Args:
        module: a function of one tensor to one.
        rows: as it takes them, ``(n, ...)``; one at least.
        outputs: what it returns, if somebody says so.
        otherwise: what it returns where that stays open; without it, an error asks.

    Raises:
        ValueError: if it cannot take the rows, returns anything else than logits or probabilities of rows, or leaves it open.
    """
    with torch.random.fork_rng(devices=[]):
        return _looked(module, rows, outputs, otherwise)


def _looked(module: nn.Module, rows: Tensor, outputs: Outputs | None, otherwise: Outputs | None) -> Network:
    drawn = torch.get_rng_state()
    with torch.no_grad(), in_float64() as mode, counted() as squashes:
        returned = _returned(module, _some(rows, 2))
    draws = not torch.equal(drawn, torch.get_rng_state())
    casts, count = mode.lowered, squashes.count
    if squashes.ends_in_a_layer:
        otherwise = Outputs.LOGITS
    if not isinstance(returned, Tensor):
        module = Called(module)
        returned = picked(returned)
    two = _checked(returned)

    def call(x: Tensor) -> Tensor:
        with torch.no_grad(), in_float64() if casts else nullcontext():
            return _checked(_returned(module, x))

    if not two.isfinite().all():
        # Data may be so large that the model overflows; what it is like shows elsewhere.
        rows = _drawn(rows, 1.0)
        two = call(_some(rows, 2))
    one = call(_some(rows, 1))
    alone = _layout(one, two, 1)
    # With its axis taken away where there is one row alone, another batch size says which it is.
    axes = alone or _layout(two, call(_some(rows, 3)), 2)
    if axes is None:
        raise wrong_shape(two.shape, 2)
    if axes is Axes.MEMBERS_SECOND and rows.ndim > 2 and not set(two.shape[1:]).isdisjoint(rows.shape[1:]):
        raise ValueError(
            f"model must return the classes of each input. Got outputs of shape {tuple(two.shape[1:])} for inputs of shape "
            f"{tuple(rows.shape[1:])}, which may be a class for each step: return those of one step, or what members of an "
            "ensemble say as (members, n, classes)."
        )
    seen = axes.arranged(two)
    found: Any = {"pairs": alone is None, "casts": casts}
    if not seen.isfinite().all():
        # It overflows everywhere, and whoever follows it or looks at its outputs says where.
        return Network(module, axes, seen.shape[0], **found)
    # One batch size, so that it is computed in one way, to the last bit.
    beside = call(_some(rows, 1)[[0, 0]])
    same = torch.allclose(axes.arranged(beside)[:, 0], seen[:, 0], rtol=_SAME, atol=0)
    # Luck may have it that it draws the same a few times, or that what it draws makes no difference to one row.
    repeated = _some(rows, _DRAWN_ON) if draws else _some(rows, 1)[[0, 0]]
    before = call(repeated) if draws else beside
    if not all(torch.equal(before, call(repeated)) for _ in range(_DRAWS if draws else not same)):
        raise ValueError(
            "model must be a function of its inputs. Got one that draws random numbers at each call in eval mode too, or "
            "learns as it is called: leave that out; torch.nn.functional.dropout needs training=self.training, and a program "
            "must be exported in eval mode."
        )
    if not same:
        raise ValueError(
            "model must treat each row by itself. Got one whose output for a row changes with those beside it: by a softmax "
            "over the rows, say, or statistics of the batch."
        )

    def without(places: tuple[int, ...], logged: bool) -> Tensor | None:
        with counted(places, logged) as again:
            output = call(_some(rows, 2))
        return axes.arranged(output) if output.shape == two.shape and again.count == count else None

    def holds(places: tuple[int, ...], logged: bool, again: Callable[[Tensor], Tensor]) -> bool:
        """Whether what was found near by is so far out, too: a guard is all but the model alone near its data."""
        for x in _far_rows(rows):
            try:
                output = axes.arranged(call(x))
                with counted(places, logged):
                    made = again(axes.arranged(call(x)))
            except (ValueError, TypeError, NotImplementedError):
                continue
            finite = (output.isfinite() & made.isfinite()).all(-1)
            if not torch.allclose(made[finite], output[finite], rtol=0, atol=_SAME):
                return False
        return True

    ending, kind = _ending(seen, lambda: _far(call, rows, axes), count, without, holds, outputs, otherwise)
    return Network(module, axes, seen.shape[0], ending, Outputs.LOGITS if ending else kind, **found)


def _checked(output: Any) -> Tensor:
    if not isinstance(output, Tensor) or not output.is_floating_point():
        kind = output.dtype if isinstance(output, Tensor) else type(output).__name__
        raise TypeError(f"model must return a tensor of floats, logits or probabilities. Got {kind} instead.")
    return output.double()


def _returned(module: nn.Module, x: Tensor) -> Any:
    try:
        returned = module.returned(x.clone()) if isinstance(module, Called) else module(x.clone())
    except Exception as error:
        # What is raised in words of ours says more.
        if isinstance(error, ValueError) or (isinstance(error, NotImplementedError) and type(error) is not NotImplementedError):
            raise
        # A person's module may raise anything.
        raise cannot_take(x, error) from error
    return module.picked(returned) if isinstance(module, Called) else returned


def cannot_take(x: Tensor, error: Exception) -> ValueError:
    """The error for a module that stops at two rows."""
    said = first_line(error) or type(error).__name__
    if isinstance(error, TypeError) and "argument" in said:
        return ValueError(
            "model must take one tensor of rows, or be read with what goes into each of its inputs, as "
            f"knowlimits.read(model, X=rows, inputs=...). Got one that says: {said}."
        )
    # What takes windows or images may be given them as a table.
    shape = ", or a table and input_shape=, the shape of one of its inputs" if x.ndim == 2 else ""
    return ValueError(
        f"model must take rows of shape {tuple(x.shape[1:])}, two of them in float64, as were given. Got one that stops there: "
        f"{said}. Give rows as it takes them{shape}, and have what it computes with as parameters or buffers."
    )


def _some(rows: Tensor, count: int) -> Tensor:
    """The first rows, from the first again where there are too few."""
    return rows[torch.arange(count) % len(rows)]


def _drawn(rows: Tensor, size: float) -> Tensor:
    return size * drawn_rows(rows.shape[1:])


def drawn_rows(shape: Sequence[int]) -> Tensor:
    """A few rows of a shape, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, *shape, generator=generator, dtype=torch.float64)


def _layout(fewer: Tensor, more: Tensor, rows: int) -> Axes | None:
    """Where the rows are in outputs for so many of them and for one more; None where they have not one axis."""
    shape, other = tuple(fewer.shape), tuple(more.shape)
    moved = [axis for axis, (a, b) in enumerate(zip(shape, other, strict=False)) if a != b]
    if len(shape) != len(other) or len(moved) != 1 or (shape[moved[0]], other[moved[0]]) != (rows, rows + 1) or 0 in shape:
        return None
    layouts = {(1, 0): Axes.ROW, (2, 0): Axes.ROWS, (3, 1): Axes.MEMBERS_FIRST, (3, 0): Axes.MEMBERS_SECOND}
    return layouts.get((len(shape), moved[0]))


def _far(call: Callable[[Tensor], Tensor], rows: Tensor, axes: Axes) -> Tensor:
    """Outputs near by and far out, ``(rows, outputs)``, finite ones."""
    found = [axes.arranged(call(_some(rows, 2))).flatten(0, 1)]
    for x in _far_rows(rows):
        try:
            output = axes.arranged(call(x)).flatten(0, 1)
        except (ValueError, TypeError, NotImplementedError):
            # Codes of categories, say, have no far out.
            continue
        found.append(output[output.isfinite().all(-1)])
    return torch.cat(found)


def _far_rows(rows: Tensor) -> tuple[Tensor, ...]:
    """Rows far out."""
    return _FAR * _some(rows, 2), -_FAR * _some(rows, 2), _drawn(rows, _FAR)


def _ending(
    seen: Tensor,
    farther: Callable[[], Tensor],
    count: int,
    without: Callable[[tuple[int, ...], bool], Tensor | None],
    holds: _Holds,
    said: Outputs | None,
    otherwise: Outputs | None,
) -> tuple[Ending | None, Outputs]:
    """What a forward pass ends in, if that can be taken off, and what it returns."""
    if said is Outputs.LOGITS:
        return None, said
    ending = _last(seen, count, without, holds)
    if ending is not None:
        if said not in (None, ending.outputs):
            raise ValueError(
                f"outputs must be '{ending.outputs}', as the model ends in a {ending.last}, or 'logits' where it was trained "
                f"with these as logits. Got '{said}' instead."
            )
        return ending, ending.outputs
    near = seen.flatten(0, 1)
    if said is None and not (_inside(near) or _add_up(near.exp())):
        return None, Outputs.LOGITS
    every = farther()
    if said is not None:
        _check_said(said, every)
        return None, said
    if count == 0 and bool((every == every[0]).all()):
        # The same wherever it was looked at, and made by no softmax.
        return None, Outputs.LOGITS
    if _add_up(every):
        return None, Outputs.PROBABILITIES
    if _add_up(every.exp()):
        return None, Outputs.LOG_PROBABILITIES
    if not _inside(every) or otherwise is not None:
        return None, otherwise or Outputs.LOGITS
    what = "one number" if every.shape[-1] == 1 else f"{every.shape[-1]} numbers"
    raise ValueError(
        f"outputs must be given for this model, 'logits' or 'probabilities'. Got none, and it returns {what} between 0 and "
        "1 for each row wherever it was looked at, which could be either."
    )


def _inside(outputs: Tensor) -> bool:
    return bool(((outputs >= -_SAME) & (outputs <= 1 + _SAME)).all())


def _add_up(outputs: Tensor) -> bool:
    """Whether outputs ``(rows, classes)`` are those of a distribution over classes."""
    return outputs.shape[-1] > 1 and _inside(outputs) and bool(((outputs.sum(-1) - 1).abs() <= _SAME).all())


def _check_said(said: Outputs, outputs: Tensor) -> None:
    """Refuse outputs that cannot be what somebody says."""
    p = outputs.exp() if said is Outputs.LOG_PROBABILITIES else outputs
    if not (_add_up(p) or (p.shape[-1] == 1 and _inside(p))):
        shown = "its exponentials go" if said is Outputs.LOG_PROBABILITIES else "what it returns goes"
        raise ValueError(
            f"outputs must be 'logits' for this model. Got '{said}', but {shown} from {float(p.min()):.4g} to "
            f"{float(p.max()):.4g}, with sums from {float(p.sum(-1).min()):.4g} to {float(p.sum(-1).max()):.4g}."
        )


def _last(
    seen: Tensor,
    count: int,
    without: Callable[[tuple[int, ...], bool], Tensor | None],
    holds: _Holds,
) -> Ending | None:
    """The squashing operation that the outputs come from."""
    alone = [(place,) for place in reversed(range(count))]
    # A sigmoid p that is written again for 1 - p.
    twice = [(count - 2, count - 1)] if count > 1 and seen.shape[-1] == 2 else []
    for places, logged in itertools.product([*twice, *alone], (False, True)):
        logits = without(places, logged)
        if logits is None or torch.equal(logits, seen):
            continue
        for last in _possible(seen.shape[-1], logged):
            ending = Ending(last, places, count, logged)
            if torch.allclose(ending.again(logits), seen, rtol=0, atol=_SAME) and holds(places, logged, ending.again):
                return ending
        several = seen.shape[-1] > 1 and torch.allclose(logits.sigmoid(), seen, rtol=0, atol=_SAME)
        if several and holds(places, logged, torch.sigmoid):
            raise ValueError(
                f"model must have classes that exclude each other. Got one that ends in {seen.shape[-1]} sigmoids, for labels "
                "of which several may be true: read each as a model of its own, with that one output."
            )
    return None


def _possible(outputs: int, logged: bool) -> tuple[Last, ...]:
    if logged:
        return (Last.LOG_SIGMOID,) if outputs == 1 else (Last.LOG_SOFTMAX,)
    if outputs == 1:
        return (Last.SIGMOID, Last.LOG_SIGMOID)
    return (Last.SOFTMAX, Last.LOG_SOFTMAX, *((Last.PAIR, Last.TURNED_PAIR) if outputs == 2 else ()))


def guessed_rows(module: nn.Module, features: Any = None) -> Tensor:
    """A few rows that a module takes, where the number of its features can be told.

    Raises:
        ValueError: if it cannot.
    """
    widths = [features] if isinstance(features, int) else [m.in_features for m in module.modules() if isinstance(m, nn.Linear)]
    for width in dict.fromkeys(widths):
        rows = _drawn(torch.empty(1, width), 1.0)
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad(), in_float64():
                module(rows.clone())
        except Exception:
            # It takes others: a person's module may raise anything.
            continue
        return rows
    raise ValueError(
        "X must be given where the shape of the model's inputs cannot be told: a few rows, as knowlimits.read(model, X=rows)."
    )
