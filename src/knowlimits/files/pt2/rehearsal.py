"""Programs from files, which run without numbers before they run with them, whenever inputs of another shape come.

What holds for a few inputs need not hold for many: a program can compute sizes from that of its batch, and torch's kernels do
not check all that they take for granted. So the check is a module of the program itself, and the first that runs.
"""

import logging
import operator
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from knowlimits._torch import LOGGERS, without_numbers
from knowlimits.files.budget import Meter, Taken
from knowlimits.files.pt2.rules import check_call
from knowlimits.model.exported import with_linear_modules

# What the check is called in the program; no weight may have this name.
CHECK = "shape_is_checked"


@contextmanager
def logs_kept() -> Iterator[list[BaseException]]:
    """The errors that torch logs, a page each, before or in place of raising them."""
    causes: list[BaseException] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1]:
            causes.append(record.exc_info[1])
        return False

    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(keep)
    try:
        yield causes
    finally:
        for logger in loggers:
            logger.removeFilter(keep)


class Rehearsal:
    """Runs a program on tensors without numbers, once for each shape.

    Attributes:
        program: as a module that checks nothing.
    """

    def __init__(self, module: torch.fx.GraphModule, dtype: torch.dtype, name: str) -> None:
        self.program = module
        self._dtype = dtype
        self._name = name
        self._first: Taken | None = None
        self._outputs: dict[tuple[int, ...], Any] = {}

    def __deepcopy__(self, memo: Any) -> "Rehearsal":
        # What fits one copy of a program fits all.
        return self

    def __call__(self, shape: tuple[int, ...]) -> Any:
        """See that inputs of a shape can be evaluated, and return the output, which has no numbers.

        Raises:
            ValueError: if they cannot, or would take more memory or time than is allowed.
        """
        if shape not in self._outputs:
            try:
                # In a thread of its own no mode of torch, of an evaluator say, gets to see the operations.
                with logs_kept(), ThreadPoolExecutor(1) as pool:
                    self._outputs[shape] = pool.submit(self._rehearse, shape).result()
            # Any operation may raise anything for arguments that do not fit it.
            except Exception as error:
                raise cannot_be_evaluated(self._name, shape, error) from error
        return self._outputs[shape]

    @torch.no_grad()
    def _rehearse(self, shape: tuple[int, ...]) -> Any:
        if min(shape, default=0) < 1:
            raise ValueError("there must be an input at least, and numbers in it")
        meter = Meter(shape[0], self._first)
        with without_numbers(), meter:
            output = _Steps(self.program).run(torch.empty(shape, dtype=self._dtype))
        self._first = self._first or meter.taken()
        return output


def cannot_be_evaluated(name: str, shape: tuple[int, ...], error: Exception) -> ValueError:
    """The error for what an operation raised for inputs of a shape, of which the first axis says how many there are."""
    first = (str(error).partition("\n")[0] or type(error).__name__).rstrip(".")
    return ValueError(f"{name} cannot be evaluated on inputs of shape {shape[1:]}: {first}, for {shape[0]} at once.")


class _Steps(torch.fx.Interpreter):
    """Looks at what an operation gets before it runs."""

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run one node."""
        # Without numbers, a copy of a constant counts as a view of it, which cannot be detached in place.
        if n.target == torch.ops.aten.detach_.default:
            return self.env[n.all_input_nodes[0]]
        return super().run_node(n)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Run one operation."""
        if target is not operator.getitem:
            check_call(target, args, kwargs)
        result = super().call_function(target, args, kwargs)
        # Python's integers have no end: squared 40 times they take all memory.
        if isinstance(result, int) and not -(2**63) <= result < 2**63:
            raise ValueError(f"{target.__name__} has a result of more than 64 bits")
        return result


class _ShapeCheck(nn.Module):
    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__()
        self.rehearsal = rehearsal

    def forward(self, x: Tensor) -> Tensor:
        # Whoever traces the program anew has symbols in place of sizes, and gets a program of their own.
        if all(type(size) is int for size in x.shape):
            self.rehearsal(tuple(x.shape))
        return x


class CheckedProgram(torch.export.ExportedProgram):
    """A program whose modules rehearse each new shape of inputs."""

    rehearsal: Rehearsal

    @staticmethod
    def of(program: torch.export.ExportedProgram, name: str) -> "CheckedProgram":
        """The program with the check in its modules."""
        dtype = next(node.meta["val"].dtype for node in program.graph.nodes if node.name in program.graph_signature.user_inputs)
        checked = object.__new__(CheckedProgram)
        checked.__dict__.update(program.__dict__)
        checked.rehearsal = Rehearsal(with_linear_modules(program), dtype, name)
        return checked

    def module(self, *args: Any, **kwargs: Any) -> torch.fx.GraphModule:
        """The program as a module."""
        module = super().module(*args, **kwargs)
        module.add_module(CHECK, _ShapeCheck(self.rehearsal))
        (given,) = [node for node in module.graph.nodes if node.op == "placeholder"]
        users = list(given.users)
        with module.graph.inserting_after(given):
            checked = module.graph.call_module(CHECK, (given,))
        for user in users:
            user.replace_input_with(given, checked)
        module.recompile()
        return module
