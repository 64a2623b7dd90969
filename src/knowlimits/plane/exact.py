"""Signs in doubt: a model's units at vertices of a mesh, exactly, and where those are.

A vertex is where two lines meet. It was made inside an edge (a, b), by a unit that changes its sign there: the unit's line is
the first, that of the edge the second. The line of an edge is that of the unit that once cut a cell along it, or it goes
through two starting vertices. So nothing needs to be known of how the ends came about. With the pattern of any cell that the
vertex is a corner of, in the refinements before, the forms of the two units are known, f1 and f2, and those of all units of
the refinement under way. The vertex is ``f1 x f2`` or opposite to it, and the sign of a form g there is that of ``g . (f1 x
f2)`` (`meeting.py`). A unit that is zero at the vertex may count as on or off, as what it gives to any sum is zero there.

**The two lines are never the same.** Each cell that has the vertex for a corner is a part of one of the two beside the edge.
The form f1 on it is zero neither at a nor at b, where the unit has opposite signs. The form f2 is zero at both, but it is not
the zero form: it is ``a x b`` of two starting vertices, which are different; or it cut a cell that both beside the edge are
parts of, so that it has opposite signs at two of that cell's corners. So neither form is a multiple of the other. Integers
check it.

Numbers are of double length first, with bounds (`doubled.py`), and what those leave in doubt are integers (`integers.py`).
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from knowlimits.plane import meeting
from knowlimits.plane.chosen import Course, Enough, Run
from knowlimits.plane.doubled import Doubles
from knowlimits.plane.integers import Fine, Integers
from knowlimits.plane.matrices import Form, Matrices
from knowlimits.plane.mesh import Mesh
from knowlimits.plane.points import Points
from knowlimits.plane.refinement import Decided, Lineage


class _Kind(NamedTuple):
    """A kind of numbers that signs are decided in.

    Attributes:
        arithmetic: in which cells are followed; has the points where they start.
        through: lines through pairs of points.
        meet: signs and places, and which of them are decided.
        numbers: of a layer that are worked on together.
    """

    arithmetic: Callable[[Course], Any]
    through: Callable[[np.ndarray, np.ndarray], np.ndarray]
    meet: Callable[[meeting.Meetings], meeting.Met]
    numbers: int


_DOUBLES = _Kind(Doubles, meeting.through_in_doubles, meeting.in_doubles, 2**20)
# Each takes some 100 bytes, and more for its products.
_INTEGERS = _Kind(partial(Integers, power=0), meeting.through_in_integers, meeting.in_integers, 2**17)


class _Kept(NamedTuple):
    """Cells of a mesh, in order, that have been followed through the model."""

    mesh: Mesh
    cells: np.ndarray
    course: Course


class Exact:
    """Signs of units at vertices of a mesh while it is refined.

    Args:
        run: pushes points of the plane through the models in a domain.
    """

    def __init__(self, run: Run):
        self._run = run
        self._power = 256
        self._forms: list[Form] = []
        self._kept: dict[Callable[..., Any], _Kept] = {}

    def __call__(self, vertices: np.ndarray, cells: np.ndarray, lineage: Lineage) -> Decided:
        """The signs of the units of the refinement under way, and where the vertices are.

        Args:
            vertices: which, at least one, ``(n,)``.
            cells: a cell of the mesh that is refined that each is a corner of, ``(n,)``.
            lineage: how they came about.
        """
        signs, places, known = self._decide(_DOUBLES, vertices, cells, lineage)
        left = np.flatnonzero(~known)
        while len(left):
            kind = _INTEGERS._replace(arithmetic=partial(Integers, power=self._power))
            try:
                signs[left], places[left], _ = self._decide(kind, vertices[left], cells[left], lineage)
                break
            except Fine:
                self._power *= 2
        return Decided(signs, places, ~known)

    def _decide(self, kind: _Kind, vertices: np.ndarray, cells: np.ndarray, lineage: Lineage) -> meeting.Met:
        """Decide in one kind of numbers, a number of cells at a time, each once."""
        order = np.argsort(cells, kind="stable")
        distinct, begins = np.unique(cells[order], return_index=True)
        begins = [*begins, len(order)]
        widths = [64 * bits.shape[1] for _, bits, _ in lineage.mesh.history] + [form.shape.numel() for form in self._forms]
        at_a_time = max(1, kind.numbers // (3 * max(widths, default=1)))
        found = []
        for begin in range(0, len(distinct), at_a_time):
            some = distinct[begin : begin + at_a_time]
            which = order[begins[begin] : begins[begin + len(some)]]
            found.append(kind.meet(self._meetings(kind, vertices[which], np.searchsorted(some, cells[which]), some, lineage)))
        back = np.argsort(order)
        return meeting.Met(*(np.concatenate(parts)[back] for parts in zip(*found, strict=True)))

    def _meetings(
        self, kind: _Kind, vertices: np.ndarray, owners: np.ndarray, cells: np.ndarray, lineage: Lineage
    ) -> meeting.Meetings:
        """The lines of vertices, and the units of cells, of which `owners` are those of the vertices."""
        lines = lineage.lines[vertices].reshape(-1, 2, 2)
        made = lineage.parents[vertices, 0] >= 0
        cut, drawn = made[:, None] & (lines[:, :, 0] >= 0), made[:, None] & (lines[:, :, 0] < 0)
        wanted = np.concatenate([np.broadcast_to(owners[:, None, None], (*cut.shape, 1)), lines], axis=2)[cut]
        course, numbers = self._followed(kind, cells, wanted, lineage)
        wanted[:, 0] = numbers[wanted[:, 0]]
        forms = np.zeros((len(course.units), *lines.shape[:2], 3), dtype=course.units.dtype)
        forms[:, cut] = course.forms(wanted)
        starting = lineage.mesh.points
        forms[:, drawn] = kind.through(starting[-1 - lines[drawn][:, 0]], starting[lines[drawn][:, 1]])
        own = np.where(lines[:, :, 0] == lineage.step, lines[:, :, 1], -1)
        return meeting.Meetings(lineage.points[vertices], ~made, forms, numbers[owners], own, course.units)

    def _followed(self, kind: _Kind, cells: np.ndarray, wanted: np.ndarray, lineage: Lineage) -> tuple[Course, np.ndarray]:
        """Cells that have been followed through the model, and the numbers there of those that are asked for.

        Those that went through it together last are kept: while a few cells are cut into many, it is they that are asked about.
        """
        kept = self._kept.get(kind.meet)
        if kept is not None and kept.mesh is lineage.mesh and np.isin(cells, kept.cells).all():
            numbers = np.searchsorted(kept.cells, cells)
            if kept.course.has(np.c_[numbers[wanted[:, 0]], wanted[:, 1:]]):
                return kept.course, numbers
        course = Course(lineage.mesh.patterns_of(cells), len(cells), wanted)
        arithmetic = kind.arithmetic(course)
        with torch.no_grad(), contextlib.suppress(Enough):
            self._run(Matrices(arithmetic, self._forms), Points(arithmetic.start, ()))
        self._kept[kind.meet] = _Kept(lineage.mesh, cells, course)
        return course, np.arange(len(cells))
