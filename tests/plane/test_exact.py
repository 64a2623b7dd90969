"""Integers at many points: products, and signs of all vertices in doubt at once."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import knowlimits as kl
from knowlimits.plane import exact, integers, mesh
from knowlimits.plane.integers import Fine, IntegerMatrix, divided
from tests.plane.test_partition import convolutional, described, lines


def test_products_are_those_of_fractions(monkeypatch):
    """With rows and columns of zeros, at more points than are worked on together."""
    monkeypatch.setattr(integers, "_PRODUCTS", 40)
    rng = np.random.default_rng(0)
    matrix = rng.integers(-3, 4, (6, 5)) / 8
    matrix[2] = matrix[5] = matrix[:, 1] = 0
    vectors = (rng.integers(-9, 10, (7, 5)) * 8).astype(object)
    products = IntegerMatrix(csr_array(matrix)).times(vectors)
    assert products.dtype == object
    assert products.tolist() == (vectors.astype(int) @ (8 * matrix.T).astype(int) // 8).tolist()
    assert IntegerMatrix(csr_array(np.zeros((2, 5)))).times(vectors).tolist() == [[0, 0]] * 7


def test_what_is_no_integer_asks_for_a_larger_power():
    assert divided(np.array([8, -4, 0], dtype=object), 2).tolist() == [2, -1, 0]
    with pytest.raises(Fine):
        divided(np.array([8, -3], dtype=object), 2)


def integer_network():
    """Small integers everywhere, so that vertices lie on many lines at once."""
    torch.manual_seed(1)
    network = convolutional().double().eval()
    for parameter in network.parameters():
        parameter.data.mul_(3).round_()
    return network, kl.Plane(*np.random.default_rng(0).integers(-1, 2, size=(3, 1, 6, 6)))


def counted(monkeypatch, network, plane):
    """The cells, and how often the network ran in integers."""
    runs = []
    init = exact.Integers.__init__
    with monkeypatch.context() as patch:
        patch.setattr(exact.Integers, "__init__", lambda *args: runs.append(len(args[1])) or init(*args))
        return kl.partition(network, plane), runs


def test_vertices_in_doubt_are_decided_together(monkeypatch):
    network, plane = integer_network()
    together, runs = counted(monkeypatch, network, plane)
    assert together.resolved > 100
    assert len(runs) < together.resolved / 4
    assert max(runs) > 10
    # One by one they are the same.
    monkeypatch.setattr(mesh, "_TOGETHER", 0)
    apart, more = counted(monkeypatch, network, plane)
    assert max(more) == 2  # the ends of an edge
    assert len(more) > 2 * len(runs)
    assert together.resolved == apart.resolved
    assert described(together) == described(apart)
    np.testing.assert_array_equal(together.vertices, apart.vertices)


def test_a_larger_power_is_found(monkeypatch):
    """Three lines that meet in a point that is no float, of weights far below the power that integers begin with."""
    weights, biases = np.array([[3.0, 0], [0, 3], [3, -3]]), np.array([-1.0, -1, 0])
    powers = []
    evaluate = exact.Exact._evaluate
    monkeypatch.setattr(exact.Exact, "_evaluate", lambda self, *args: powers.append(self._power) or evaluate(self, *args))
    plain, small = (kl.partition(lines(weights * share, biases * share)) for share in (1.0, 2.0**-600))
    assert min(powers) == 256
    assert max(powers) == 1024
    assert small.resolved == plain.resolved > 0
    assert described(small) == described(plain)
