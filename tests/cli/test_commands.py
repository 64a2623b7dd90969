"""Commands as people run them, and mistakes that end them."""

import csv
import html
import importlib
import shlex
import subprocess
import sys
from typing import get_args

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import knowlimits as kl
from knowlimits.auditing import report
from knowlimits.cli import detect, preamble, search
from knowlimits.model.endings import Outputs
from knowlimits.studies import half_moons
from knowlimits.studies.tables.families import FAMILIES
from knowlimits.studies.tables.sets import SETS
from knowlimits.train.search.driver import SAMPLERS
from knowlimits.train.search.trials import OBJECTIVES
from tests.command import run
from tests.files.onnx_models import model_of, node

# The package has functions of the same names.
audit = importlib.import_module("knowlimits.cli.audit")


def test_choices_are_those_that_there_are():
    assert tuple(half_moons.model_names()) == preamble.MODELS
    assert get_args(search.Objective) == tuple(OBJECTIVES)
    assert get_args(search.Sampler) == tuple(SAMPLERS)
    assert get_args(detect.Set) == SETS
    assert get_args(detect.Model) == (*preamble.MODELS, *FAMILIES)
    assert get_args(preamble.Returned) == tuple(Outputs)
    assert get_args(preamble.Kind) == (*kl.faults.KINDS, "none")
    assert audit.TABLES == report.TABLES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "--models", "nnensembel"], "--models must be of NN, PlattScalingNN, MCDropout, BBB, NNEnsemble, Anch"),
        (["search", "--sampler", "random", "--objective", "acuracy"], "Got 'acuracy' instead. Did you mean accuracy?"),
        (["detect", "--ood", "x"], "--data, --target and --ood must be given together. Got --ood alone."),
        (
            ["audit", "m.pt2", "d.csv", "--outputs", "logit"],
            "--outputs must be one of logits, log-probabilities, probabilities.",
        ),
        (["regions", "m.pt2", "--outputs", "probability"], "Did you mean probabilities?"),
        (["detect", "--sets", "WINE", "iris"], "--sets must be of breast_cancer, wine, digits. Got 'iris' instead."),
        (["detect", "--models", "nn", "RANDOMFOREST", "randomforrest"], "Did you mean RandomForest?"),
    ],
)
def test_what_was_given_is_told_beside_what_is_accepted(arguments, message):
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr


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


def test_what_a_file_returns_is_asked_for_where_it_stays_open(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2), nn.Hardsigmoid())
    program = torch.export.export(net, (torch.zeros(3, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    model, data = tmp_path / "model.pt2", tmp_path / "data.csv"
    torch.export.save(program, model)
    rows = np.random.default_rng(0).normal(size=(60, 2))
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], *rows.tolist()])
    for command, arguments in (("audit", [model, data]), ("regions", [model])):
        refused = run(command, *arguments)
        assert refused.returncode == 2
        assert "outputs must be given for this model, 'logits' or 'probabilities'" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        said = run(command, *arguments, "--outputs", "logits")
        assert said.returncode == 0, said.stderr
    assert run("regions", model, "--outputs", "probabilities").returncode == 2


def test_a_report_ends_with_the_command_that_makes_a_guarded_file(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 6))
    model, data = tmp_path / "my model.pt2", tmp_path / "data.csv"
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    program = torch.export.export(net, (torch.zeros(3, 2, 3),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, model)
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([[*"abcdef", "y"], *([*row, k % 3] for k, row in enumerate(rows.tolist()))])
    options = ["--target", "y", "--outputs", "logits", "--seed", "3", "--input-shape", "2", "3"]
    report = tmp_path / "report.html"
    found = run("audit", model, data, *options, "--html", report)
    assert found.returncode == 0, found.stderr
    command = shlex.join(["knowlimits", "guard", *map(str, [model, data, *options, "--out", "guarded.onnx"])])
    assert f"\n    {command}\n" in found.stdout
    assert html.escape(command) in report.read_text().replace("&#39;", "&#x27;")


def test_the_output_of_a_file_that_is_the_classifier(tmp_path):
    draw = np.random.default_rng(0).normal
    nodes = [node("MatMul", "x w", "logits"), node("MatMul", "x v", "f"), node("Sigmoid", "f", "severity")]
    outputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", None]) for name in ("logits", "severity")]
    weights = {"w": draw(size=(2, 3)), "v": draw(size=(2, 1))}
    model, data = tmp_path / "model.onnx", tmp_path / "data.csv"
    onnx.save(model_of(nodes, (2,), weights, output=outputs), model)
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b"], *draw(size=(60, 2)).tolist()])
    for command, arguments in (("audit", [model, data]), ("regions", [model])):
        refused = run(command, *arguments)
        assert refused.returncode == 2
        assert "several outputs of floats" in refused.stderr
        assert "--output logits in a command" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        said = run(command, *arguments, "--output", "logits")
        assert said.returncode == 0, said.stderr
        wrong = run(command, *arguments, "--output", "logit")
        assert wrong.returncode == 2
        assert "Did you mean 'logits'?" in wrong.stderr
    found = run("audit", model, data, "--output", "severity")
    assert "output 'severity' (1 column), of which a Sigmoid is undone" in " ".join(found.stdout.split())
    once = run("regions", model, "--output", tmp_path / "map.png")
    assert once.returncode == 2
    assert "--figure or -o has the figure" in once.stderr


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


def test_version_and_help_do_not_import_torch():
    code = "import sys; from knowlimits.cli.main import app; app(['--help'], result_action='return_value'); "
    code += "assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
    assert run("--version").stdout.strip() == "0.1.0"
