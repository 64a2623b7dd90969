"""What is drawn is what was given: maps where they belong, edges and cells out to infinity, every score with a title."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.contour import ContourSet
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import knowlimits as kl
from knowlimits import plots
from knowlimits.studies.paper.far_away import SCORES

ROOT = Path(__file__).parent.parent.parent
EXTENT = (-2.0, 3.0, -1.0, 4.0)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize("name", plots.__all__)
def test_every_public_name_is_documented(name):
    assert f":: knowlimits.plots.{name}\n" in (ROOT / "docs" / "api.md").read_text()


def test_every_score_has_a_title():
    assert SCORES == ("max_prob", "entropy", "expected_entropy", "variance", "mutual_information")
    assert set(SCORES) <= set(plots.TITLES)


def test_maps_show_each_value_where_it_is(ax):
    points = plots.grid(EXTENT, 5)
    np.testing.assert_array_equal(points[[0, 4, 20]], [[-2, -1], [3, -1], [-2, 4]])
    image = plots.score_map(ax, points[:, 1].reshape(5, 5), EXTENT)
    assert image.get_extent() == list(EXTENT)
    # Rows go from below, as they are drawn.
    assert image.origin == "lower"
    assert image.get_array()[:, 0].tolist() == [0, 0.25, 1.5, 2.75, 4]
    assert (image.norm.vmin, image.norm.vmax) == (0, 4)


def test_gradients_have_six_decades(ax):
    image = plots.gradient_map(ax, np.array([[0.0, 1e-3], [1.0, 100.0]]), EXTENT)
    assert isinstance(image.norm, LogNorm)
    assert (image.norm.vmin, image.norm.vmax) == (pytest.approx(1e-4), 100)
    assert image.get_array()[0].tolist() == [pytest.approx(1e-4), 1e-3]
    assert plots.gradient_norm([np.zeros((2, 2))]).vmax == plots.score_norm([np.zeros((2, 2))]).vmax == 1


def test_edges_and_cells_go_to_infinity(ax, net):
    cells = kl.partition(net)
    lines = plots.edges(ax, cells, EXTENT, linewidth=2)
    assert lines.get_linewidth() == [2]
    ends = np.array(lines.get_segments())
    # Edges of the starting cones, which have no point but at infinity, are none of the network's.
    finite = (cells.vertices[cells.edges][..., 2] > 0).any(1)
    assert len(ends) == finite.sum()
    rays = (cells.vertices[cells.edges][finite][..., 2] == 0).any(1)
    assert (np.abs(ends[rays, 1]).max(1) > 4).all()

    filled = plots.cells(ax, cells, np.arange(len(cells)), EXTENT)
    assert len(filled.get_paths()) == len(cells)
    for point in np.random.default_rng(0).uniform(-1, 3, (50, 2)):
        # Colours have the numbers of the cells, and a point lies in its own.
        assert filled.get_paths()[int(cells.locate(point[None])[0])].contains_point(point, radius=1e-9)


def test_polytopes_are_drawn_with_the_entropy_of_any_model(net):
    cells = kl.partition(net)
    figure = plots.polytopes(net, cells, EXTENT)
    ax = figure.axes[0]
    assert f"{len(cells)} cells" in ax.get_title()
    (image,) = ax.images
    with torch.no_grad():
        probs = net.double()(torch.from_numpy(plots.grid(EXTENT))).softmax(-1)
    expected = kl.scores.entropy(probs[None], base=2).reshape(400, 400)
    np.testing.assert_allclose(image.get_array(), expected, atol=1e-12)
    plt.close(figure)
    figure = plots.polytopes(net, cells)
    assert np.ptp(figure.axes[0].get_xlim()) > 0
    plt.close(figure)


def test_the_rim_of_the_disc_has_the_limits(ax, net):
    X = np.random.default_rng(0).normal(size=(60, 2))
    plots.horizon_disc(ax, net, X, np.arange(60) % 3)
    rim = ax.collections[-1]
    # Each direction of the rim, inside and outside, has a limit that the horizon has.
    limits = kl.horizon(net).score("entropy", base=2)
    values = np.unique(rim.get_array())
    assert len(values) > 1
    assert np.abs(values[:, None] - limits).min(1).max() < 1e-12


def test_a_model_without_polytopes_has_a_rim_and_boundaries(ax):
    """A tree of two thresholds: its rim has four limits, and it jumps at one line where the class changes."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    y = ((X[:, 0] > 0.2) | (X[:, 1] > 0.5)).astype(int)
    y[::7] = 1 - y[::7]
    tree = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, y)
    plots.horizon_disc(ax, tree, X, y, boundaries=True)
    (rim,) = [one for one in ax.collections if one.get_array() is not None and one.get_array().shape == (721, 2)]
    angles = np.deg2rad(np.arange(721) / 2)
    far = X.mean(0) + 1e9 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    expected = kl.scores.entropy(tree.predict_proba(far)[None], base=2)
    # Along the axes themselves one column stays, and a billion times a cosine of rounding does not.
    clear = np.arange(721) % 180 != 0
    np.testing.assert_allclose(rim.get_array()[clear, 0], expected[clear], atol=1e-12)
    assert not [one for one in ax.collections if isinstance(one, LineCollection)]
    assert [one for one in ax.collections if isinstance(one, ContourSet)]


def test_points_of_any_classes_are_drawn(ax):
    X = np.arange(18.0).reshape(9, 2)
    y = np.array(list("bacbacxyz"))
    plots.scatter(ax, X, y)
    drawn = [np.asarray(points.get_offsets()) for points in ax.collections]
    assert [len(points) for points in drawn] == [2, 2, 2, 1, 1, 1]
    np.testing.assert_array_equal(drawn[0], X[[1, 4]])
    assert len({tuple(points.get_facecolor()[0]) for points in ax.collections}) == 6
