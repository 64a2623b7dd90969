import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from knowlimits.studies import half_moons
from knowlimits.studies.paper import clusters, distances, far_away, maps, reproduce, summary
from tests.command import run


def test_settings_are_the_published_ones():
    assert sum(len(m["scores"]) for m in half_moons.settings()["models"].values()) == 16
    bbb = half_moons.build("BBB", 0)
    assert (bbb.posterior_rho, bbb.beta, bbb.batch_size, bbb.patience) == (-7.649002, 0.102995, 64, 5)


def test_grids_are_half_open():
    points, shape = maps.grid(half_moons.settings()["grid"]["scores"])
    assert shape == (65, 80)
    np.testing.assert_allclose([points[0], points[-1]], [[-3.5, -3.0], [4.4, 3.4]])
    assert maps.grid(half_moons.settings()["grid"]["gradients"])[1] == (105, 120)


def test_reproduce_through_the_command_line(tmp_path):
    result = run("reproduce", "--models", "nn", "bbb", "--seeds", "2", "--individual", "--out", tmp_path / "a")
    assert result.returncode == 0, result.stderr
    assert "| BBB |" in result.stdout
    files = [p for p in (tmp_path / "a").rglob("*") if p.suffix == ".png"]
    assert len(files) == 8 + 2 * 5
    with (tmp_path / "a" / "tables" / "models.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["NN", "BBB"]
    assert all(0.9 < float(row["auc_mean"]) < 1 for row in rows)
    assert json.loads((tmp_path / "a" / "config.json").read_text())["seeds"] == [0, 1]


def test_the_same_command_writes_the_same_bytes(tmp_path):
    arguments = ["reproduce", "--models", "nn", "--seeds", "1", "--out"]
    assert run(*arguments, tmp_path / "a").returncode == 0
    # In a process of its own, where sets have another order and nothing has run before.
    code = "import sys; from knowlimits.cli.main import main; main(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, *arguments, tmp_path / "b"], check=True, capture_output=True)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) > 12
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_an_interruption_leaves_what_was_finished(tmp_path):
    # Ctrl-C while the maps are computed: the table is there already, whole, and no half-written file is.
    code = """
import knowlimits.studies.paper.reproduce as module
def maps(*arguments):
    raise KeyboardInterrupt
module.maps = maps
from knowlimits.cli.main import main
main()
"""
    arguments = ["reproduce", "--models", "nn", "--seeds", "1", "--out", str(tmp_path)]
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert result.returncode == 130
    assert "what was finished is kept" in result.stderr
    assert "Traceback" not in result.stderr
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"config.json", "tables/models.csv"}
    with (tmp_path / "tables" / "models.csv").open() as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["NN"]


@pytest.mark.filterwarnings("default")
def test_repetitions_train_on_dask_workers_as_they_do_here():
    data = [half_moons.draw_data(seed) for seed in range(3)]
    here = half_moons.train_models(["NN", "BBB"], data)
    there = reproduce._trained(["NN", "BBB"], data, "cpu", False, None, "local")
    for row, other in zip(here, there, strict=True):
        for model, twin, d in zip(row, other, data, strict=True):
            np.testing.assert_allclose(model.predict_proba(d.X), twin.predict_proba(d.X), atol=1e-3)


def test_figure_one_is_the_networks_own():
    result = clusters.figure_one()
    assert len(result.X) == 450
    assert result.cells.area.sum() == pytest.approx(100)
    assert 20 < len(result.cells) < 80
    # The map of the gradient is that of the network: along an edge of the box, differences of the entropy are no longer.
    step = 10 / 399
    steps = np.abs(np.diff(result.entropy[:, 0])) / step
    assert (steps <= np.maximum(result.gradient[1:, 0], result.gradient[:-1, 0]) * 1.2 + 0.05).mean() > 0.97


@pytest.fixture(scope="module")
def trained():
    """Data, and a network and an ensemble trained on it, which the tests only look at."""
    data = half_moons.draw_data(0)
    [[network], [ensemble]] = half_moons.train_models(["NN", "NNEnsemble"], [data])
    return data, network, ensemble


def test_limits_in_the_table_are_those_of_points_far_out(trained):
    data, network, ensemble = trained
    for name, model in (("NN", network), ("NNEnsemble", ensemble)):
        limits = far_away.measure_limits(name, model, data)
        assert limits.confident_far > 0.8 > 0.1 > limits.confident_near
        _, directions = far_away.compass()
        points = np.repeat(data.X, 12, axis=0) + 1e7 * np.tile(directions, (len(data.X), 1))
        assert (model.predict_proba(points).max(1) >= far_away.CONFIDENT).mean() == pytest.approx(limits.confident_far)
        for score in far_away.SCORES:
            assert np.median(model.uncertainty(points, score, base=2)) == pytest.approx(limits.far[score], abs=1e-9)


def test_rays_reach_their_limits():
    data = half_moons.draw_data(0)
    [[model]] = half_moons.train_models(["AnchoredNNEnsemble"], [data])
    profile = far_away.follow_rays("AnchoredNNEnsemble", model, data)
    assert (profile.distances[0], profile.distances[-1]) == (0.001, 10)
    for name, values in profile.values.items():
        np.testing.assert_allclose(values[:, -1], profile.limits[name], atol=0.02, err_msg=name)
    assert np.ptp(profile.limits["mutual_information"]) > 0.5


def test_detection_at_a_distance_tends_to_that_at_infinity(trained):
    data, network, ensemble = trained
    results = distances.measure_detection("NN", network, data) + distances.measure_detection("NNEnsemble", ensemble, data)
    for one in results:
        assert len(one.aurocs) == len(distances.DISTANCES)
        # From 10,000 on little changes: what is left are directions in which a score hardly grows.
        assert abs(one.aurocs[-1] - one.aurocs[-2]) < 0.06, one
    at = {(one.model, one.score): one.aurocs[-1] for one in results}
    for model in ("NN", "NNEnsemble"):
        assert at[model, "entropy"] < 0.5
        assert at[model, "guarded_entropy"] == at[model, "unfamiliarity"] == 1.0
        assert at[model, "mahalanobis"] > 0.99
    columns, rows = summary.detection_csv(results)
    assert [row[columns.index("score")] for row in rows] == [one.score for one in results]
    assert "| guarded entropy | 1.00 | 1.00 |" in summary.detection_markdown(results)
