import csv
import json

import numpy as np

from knowlimits.studies.half_moons import model_names
from knowlimits.studies.search.hyperparameters import FOLLOWERS
from knowlimits.studies.search.study import spaces
from tests.command import run


def test_each_model_is_searched_or_takes_the_winner_of_another():
    searched = spaces()
    assert sorted([*searched, *FOLLOWERS]) == sorted(model_names())
    assert set(FOLLOWERS.values()) <= set(searched)


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
