"""The bounds that proofs of signs rest on, step by step as docs/proven.md has them, against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from knowlimits.plane import crossing, units
from knowlimits.plane.bounding import OfPoints, OfUnits
from knowlimits.plane.mesh import Mesh, unpack
from knowlimits.plane.refinement import Imprecise
from knowlimits.plane.restriction import PlaneModel
from tests.plane.test_partition import drawn, stack

KINDS = {"of points": OfPoints, "of units": OfUnits}
STARTS = {"plane": Mesh.plane(), "box": Mesh.box(-0.7, 1.9, -0.3, 0.6, 2), "circle": Mesh.circle()}


def exactly(numbers):
    return [Fraction(float(n)) for n in numbers]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


class Followed:
    """A partition of a network of plain layers, with every refinement that was done and the units that went into it."""

    def __init__(self, monkeypatch, weights, biases, start, bounding):
        self.layers = [([exactly(row) for row in w], exactly(b)) for w, b in zip(weights, biases, strict=True)]
        self.steps, model = [], PlaneModel(stack(weights, biases))
        refine = units.refine

        def refined(mesh, rows, exact, limit, zeros=None):
            result = refine(mesh, rows, exact, limit, zeros)
            self.steps.append((mesh, rows, result))
            return result

        with monkeypatch.context() as patch:
            patch.setattr(units, "refine", refined)
            model._refined(start, bounding(), None, None, outputs=False)

    def forms(self, step, pattern):
        """The forms of the units of a step under the pattern of a cell for those before, as vectors of three fractions."""
        given = [[Fraction(1), Fraction(0), Fraction(0)], [Fraction(0), Fraction(1), Fraction(0)]]
        for layer, (weight, bias) in enumerate(self.layers[: step + 1]):
            forms = [[dot(row, column) for column in zip(*given, strict=True)] for row in weight]
            forms = [[*form[:2], form[2] + b] for form, b in zip(forms, bias, strict=True)]
            if layer == step:
                return forms
            given = [form if on else [Fraction(0)] * 3 for form, on in zip(forms, pattern[layer], strict=True)]
        raise AssertionError

    def check(self):
        """That all bounds hold, of each vertex and each cell that it is a corner of; how many numbers were looked at."""
        looked = 0
        for step, (mesh, rows, (grown, *_)) in enumerate(self.steps):
            patterns = [unpack(words, n) for words, n in zip(mesh.patterns(), [s.units for s in mesh.history], strict=True)]
            points = standing(mesh)
            for cell in range(mesh.cells):
                forms = self.forms(step, [p[cell] for p in patterns])
                corners = mesh.corners[mesh.starts[cell] : mesh.starts[cell + 1]]
                for v in corners:
                    for k, form in enumerate(forms):
                        error = rows.errors[v, k if rows.errors.shape[1] > 1 else 0]
                        assert abs(Fraction(float(rows.values[v, k])) - dot(form, points[v])) <= Fraction(float(error))
                        looked += 1
                steep = np.empty(len(forms))
                if rows.slopes.shape[1]:
                    steep[:] = rows.slopes[corners].min()
                elif len(corners) > 2:
                    steep_of(mesh, rows, corners, steep)
                else:
                    continue
                for k, form in enumerate(forms):
                    assert dot(form, form) <= Fraction(float(steep[k])) ** 2
            self.check_places(grown, step)
        return looked

    def check_places(self, mesh, step):
        """That what stands for a vertex is as near to it, to what is stored, and to lines of edges, as is said."""
        points, true = standing(mesh), self.vertices(mesh)
        for v in np.unique(mesh.corners):
            stored, _, away = (Fraction(float(bound)) for bound in mesh.off[v])
            apart = [p - s for p, s in zip(points[v], exactly(mesh.points[v]), strict=True)]
            assert dot(apart, apart) <= stored**2
            share = dot(points[v], true[v]) / dot(true[v], true[v])
            if away < Fraction(crossing.FAR):
                assert share > 0
                assert dot(points[v], points[v]) - share**2 * dot(true[v], true[v]) <= away**2
        for begin, end in zip(mesh.starts[:-1], mesh.starts[1:], strict=True):
            corners = mesh.corners[begin:end]
            for a, b in zip(corners, np.roll(corners, -1), strict=True):
                across = cross(true[a], true[b])
                for v in (a, b):
                    beside = Fraction(float(mesh.off[v, crossing.LINES]))
                    assert dot(across, points[v]) ** 2 <= beside**2 * dot(across, across)

    def vertices(self, mesh):
        """The true vertices, by the forms of the units that made them at the ends of their edges."""
        true = []
        patterns = [unpack(words, n) for words, n in zip(mesh.patterns(), [s.units for s in mesh.history], strict=True)]
        owner = dict(zip(mesh.corners.tolist(), np.repeat(np.arange(mesh.cells), np.diff(mesh.starts)).tolist(), strict=True))
        for v, (a, b, unit) in enumerate(mesh.parents.tolist()):
            if a < 0:
                true.append(exactly(mesh.points[v]))
                continue
            form = self.forms(int(mesh.steps[v]), [p[owner[v]] for p in patterns])[unit]
            at_a, at_b = abs(dot(form, true[a])), abs(dot(form, true[b]))
            true.append([at_b * x + at_a * y for x, y in zip(true[a], true[b], strict=True)])
        return true


def standing(mesh):
    """What stands for each vertex, by the shares as they are stored."""
    points = []
    for v, (a, b, _) in enumerate(mesh.parents.tolist()):
        if a < 0:
            points.append(exactly(mesh.points[v]))
        else:
            of_a, of_b = exactly(mesh.shares[v])
            points.append([of_a * x + of_b * y for x, y in zip(points[a], points[b], strict=True)])
    return points


def steep_of(mesh, rows, corners, steep):
    none = [np.zeros((1, 1), np.uint64)] * 3
    at = crossing.Vertices(*rows, *none, mesh.points, mesh.off, mesh.parents, mesh.shares, mesh.lines, corners)
    crossing.steepness(at, corners, steep)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold(monkeypatch, seed, start, kind):
    try:
        followed = Followed(monkeypatch, *drawn(seed), STARTS[start], KINDS[kind])
    except Imprecise:
        assert kind == "of points"
        return
    assert followed.check() > 0


def test_what_leaves_rounding_out_is_no_bound(monkeypatch):
    """The same checks fail without what an operation rounds."""
    affine = OfUnits.affine

    def without(self, apply, parts, values, traced, constant, w, stored):
        numbers, beside = affine(self, apply, parts, values, traced, constant, w, stored)
        numbers[1::2] *= 1e-3
        return numbers, beside

    monkeypatch.setattr(OfUnits, "affine", without)
    followed = Followed(monkeypatch, *drawn(0), STARTS["plane"], OfUnits)
    with pytest.raises(AssertionError):
        followed.check()
