import csv
import json
import subprocess
import sys

import numpy as np
import pytest

import knowlimits as kl
from knowlimits import cli
from knowlimits.studies import clusters, detection, far_away, half_moons, real_data, reproduce
from tests.command import run


def test_settings_are_the_published_ones():
    assert tuple(half_moons.model_names()) == cli.MODELS
    assert sum(len(m["scores"]) for m in half_moons.settings()["models"].values()) == 16
    bbb = half_moons.build("BBB", 0)
    assert (bbb.posterior_rho, bbb.beta, bbb.batch_size, bbb.patience) == (-7.649002, 0.102995, 64, 5)


def test_grids_are_half_open():
    points, shape = half_moons.grid(half_moons.settings()["grid"]["scores"])
    assert shape == (65, 80)
    np.testing.assert_allclose([points[0], points[-1]], [[-3.5, -3.0], [4.4, 3.4]])
    assert half_moons.grid(half_moons.settings()["grid"]["gradients"])[1] == (105, 120)


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
import knowlimits.studies.reproduce as module
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "NNEnsembel"], "Did you mean NNEnsemble?"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--out", "/proc/nowhere"], "cannot write to /proc/nowhere"),
        (["--device", "quantum"], "cannot use 'quantum'"),
    ],
)
def test_mistakes_get_one_line_and_status_2(arguments, message, tmp_path):
    result = run("reproduce", *(["--out", tmp_path] if "--out" not in arguments else []), *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_search_through_the_command_line(tmp_path):
    space = tmp_path / "space.toml"
    space.write_text("""
[NN]
trials = 5
layers = { low = 1, high = 2 }
width = [4, 6]
learning_rate = { low = 0.001, high = 0.1, log = true }
epochs = 2
""")
    out = tmp_path / "out"
    arguments = ["search", "--space", space, "--repeats", "2", "--out", out]
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "NN: 5 trials, 0 failed, best auc" in first.stdout
    best = json.loads((out / "NN.json").read_text())
    assert len(best) == 5
    assert all(set(b["hyperparameters"]) == {"hidden_sizes", "lr", "epochs"} for b in best.values())
    assert (out / "figures" / "NN.png").read_bytes().startswith(b"\x89PNG")
    with (out / "tables" / "NN.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert max(float(row["value"]) for row in rows) == max(b["score"] for b in best.values())
    summary = (out / "summary.md").read_text()
    assert "| NN | ours |" in summary
    assert "| NN | published |" in summary
    files = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.suffix != ".journal"}
    assert run(*arguments).returncode == 0
    assert files == {p: p.read_bytes() for p in files}
    assert "other settings of data, seed" in run(*arguments, "--seed", "1").stderr

    reproduced = run("reproduce", "--models", "nn", "--seeds", "2", "--hyperparameters", out, "--out", tmp_path / "r")
    assert reproduced.returncode == 0, reproduced.stderr
    used = json.loads((tmp_path / "r" / "config.json").read_text())["hyperparameters"]["NN"]
    assert used["hidden_sizes"] == max(best.values(), key=lambda b: b["score"])["hyperparameters"]["hidden_sizes"]


def test_search_on_a_file_of_a_persons_own(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{x:.3f},{1000 * z:.1f},{'yes' if x + z > 0 else 'no'}" for x, z in rng.normal(size=(80, 2))]
    (tmp_path / "data.csv").write_text("\n".join(["x,z,label", *rows]))
    data = ["--data", tmp_path / "data.csv", "--target", "label"]
    result = run("search", "--models", "nn", "--trials", "3", "--repeats", "1", "--out", tmp_path / "out", *data)
    assert result.returncode == 0, result.stderr
    assert "published" not in (tmp_path / "out" / "summary.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "PlattScalingNN"], "it takes the winner of NN"),
        (["--trials", "0"], "--trials must be at least 1"),
        (["--data", "x.csv"], "--data and --target must be given together"),
        (["--data", "x.csv", "--target", "y"], "x.csv"),
        (["--space", "none.toml"], "none.toml"),
        (["--objective", "f1"], "objective must be one of"),
        (["--storage", "mysql://a/b"], "storage must be"),
        (["--dask", "tcp://127.0.0.1:9"], "no Dask scheduler answers"),
    ],
)
def test_mistakes_of_a_search_get_one_line_and_status_2(arguments, message, tmp_path):
    result = run("search", "--out", tmp_path, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len([line for line in result.stderr.strip().splitlines() if line.startswith("knowlimits:")]) == 1
    assert "Traceback" not in result.stderr


@pytest.mark.filterwarnings("default")
def test_repetitions_train_on_dask_workers_as_they_do_here():
    data = [half_moons.draw_data(seed) for seed in range(3)]
    here = half_moons.train_models(["NN", "BBB"], data)
    there = reproduce._trained(["NN", "BBB"], data, "cpu", False, None, "local")
    for row, other in zip(here, there, strict=True):
        for model, twin, d in zip(row, other, data, strict=True):
            np.testing.assert_allclose(model.predict_proba(d.X), twin.predict_proba(d.X), atol=1e-3)


def test_regions_counts_draws_and_writes_a_table(tmp_path):
    data = half_moons.draw_data(0)
    model = kl.NeuralNetwork(hidden_sizes=(6,), epochs=2, random_state=0).fit(data.X, data.y)
    kl.save(model, tmp_path / "model.safetensors")
    out = tmp_path / "new" / "cells.png", tmp_path / "cells.csv"
    result = run("regions", tmp_path / "model.safetensors", "-o", out[0], "--csv", out[1])
    assert result.returncode == 0, result.stderr
    cells = kl.partition(model)
    assert f"{len(cells)} cells" in result.stdout
    assert out[0].read_bytes().startswith(b"\x89PNG")
    with out[1].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(cells)
    assert sum(row["bounded"] == "False" for row in rows) == (~cells.bounded).sum()
    boxed = run("regions", tmp_path / "model.safetensors", "--box", "0", "1", "0", "1")
    assert "0 of them unbounded" in boxed.stdout
    pickled = run("regions", tmp_path / "model.pkl")
    assert pickled.returncode == 2
    assert "is a pickle" in pickled.stderr
    missing = run("regions", tmp_path / "none.safetensors")
    assert missing.returncode == 2
    assert len(missing.stderr.strip().splitlines()) == 1


def test_figure_one_is_the_networks_own():
    result = clusters.figure_one()
    assert len(result.X) == 450
    assert result.cells.area.sum() == pytest.approx(100)
    assert 20 < len(result.cells) < 80
    # The map of the gradient is that of the network: along an edge of the box, differences of the entropy are no longer.
    step = 10 / 399
    steps = np.abs(np.diff(result.entropy[:, 0])) / step
    assert (steps <= np.maximum(result.gradient[1:, 0], result.gradient[:-1, 0]) * 1.2 + 0.05).mean() > 0.97


def test_version_and_help_do_not_import_torch():
    code = "import sys; from knowlimits.cli.main import app; app(['--help'], result_action='return_value'); "
    code += "assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
    assert run("--version").stdout.strip() == "0.1.0"


def test_limits_in_the_table_are_those_of_points_far_out():
    data = half_moons.draw_data(0)
    [[network], [ensemble]] = half_moons.train_models(["NN", "NNEnsemble"], [data])
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


def test_detection_at_a_distance_tends_to_that_at_infinity():
    data = half_moons.draw_data(0)
    [[network], [ensemble]] = half_moons.train_models(["NN", "NNEnsemble"], [data])
    results = detection.measure_detection("NN", network, data) + detection.measure_detection("NNEnsemble", ensemble, data)
    for one in results:
        assert len(one.aurocs) == len(detection.DISTANCES)
        # From 10,000 on little changes: what is left are directions in which a score hardly grows.
        assert abs(one.aurocs[-1] - one.aurocs[-2]) < 0.06, one
    at = {(one.model, one.score): one.aurocs[-1] for one in results}
    for model in ("NN", "NNEnsemble"):
        assert at[model, "entropy"] < 0.5
        assert at[model, "guarded_entropy"] == 1.0
        assert at[model, "mahalanobis"] > 0.99
    table = list(csv.DictReader(detection.detection_csv(results).splitlines()))
    assert [row["score"] for row in table] == [one.score for one in results]
    assert "| guarded entropy | 1.00 | 1.00 |" in detection.detection_markdown(results)


def test_detect_on_a_set_and_on_a_persons_own_files(tmp_path):
    result = run("detect", "--sets", "wine", "--models", "nn", "--seeds", "2", "--out", tmp_path / "wine")
    assert result.returncode == 0, result.stderr
    with (tmp_path / "wine" / "tables" / "detection.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = {row["out of distribution"] for row in rows}
    assert kinds == {"class left out", *(f"one feature times {f:,}" for f in (10, 100, 1000, 10000)), "one feature to infinity"}
    at = {(row["score"], row["out of distribution"], row["seed"]): float(row["auroc"]) for row in rows}
    for seed in "01":
        assert at["mahalanobis", "one feature times 10,000", seed] > 0.99
        assert at["guarded_entropy", "one feature to infinity", seed] > 0.99
        # What is measured far out tends to the limit.
        for score in {row["score"] for row in rows}:
            assert abs(at[score, "one feature times 10,000", seed] - at[score, "one feature to infinity", seed]) < 0.1, score
    assert (tmp_path / "wine" / "figures" / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "| guarded entropy |" in (tmp_path / "wine" / "summary.md").read_text()

    rng = np.random.default_rng(0)
    own = [f"{a:.3f},{b:.3f},{'yes' if a > b else 'no'}" for a, b in rng.normal(size=(80, 2))]
    (tmp_path / "own.csv").write_text("\n".join(["a,b,label", *own]))
    (tmp_path / "other.csv").write_text("\n".join(["b,a", *(f"{b:.3f},{a:.3f}" for a, b in 9 + rng.normal(size=(30, 2)))]))
    arguments = ["detect", "--data", tmp_path / "own.csv", "--target", "label", "--models", "nn", "--seeds", "1"]
    result = run(*arguments, "--ood", tmp_path / "other.csv", "--out", tmp_path / "own")
    assert result.returncode == 0, result.stderr
    assert "## own, NN" in (tmp_path / "own" / "summary.md").read_text()
    assert "other" in (tmp_path / "own" / "summary.md").read_text()
    (tmp_path / "other.csv").write_text("b,c\n1,2\n")
    wrong = run(*arguments, "--ood", tmp_path / "other.csv", "--out", tmp_path / "own")
    assert wrong.returncode == 2
    assert "Missing are ['a']" in wrong.stderr
    assert "--sets must be of" in run("detect", "--sets", "iris", "--out", tmp_path).stderr


def test_measured_growth_is_what_the_algebra_predicts():
    _, orders = real_data.measure(real_data.load_table("breast_cancer"), ["NN"], 0)
    by_score = {one.score: one for one in orders}
    for score, power in (("mahalanobis", 2), ("raw_neighbours", 1), ("neighbours", 0), ("entropy", 0), ("guarded_entropy", 0)):
        one = by_score[score]
        assert (one.predicted == power).mean() > 0.9, score
        if power:
            assert np.abs(one.measured[one.predicted == power] - power).max() < 0.2, score
