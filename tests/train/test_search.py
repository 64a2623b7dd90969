"""The hyperparameter search: draws, populations, storage, interruptions, workers, files."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import joblib
import matplotlib.pyplot as plt
import numpy as np
import optuna
import pytest
import torch
from optuna.study import StudyDirection
from sklearn.datasets import load_wine, make_moons
from sklearn.metrics import roc_auc_score

import knowlimits as kl
from knowlimits import plots
from knowlimits.files.tables import read_table
from knowlimits.studies.search.hyperparameters import read_hyperparameters
from knowlimits.studies.search.study import spaces
from knowlimits.train.search import Space, StudyInUse, driver
from knowlimits.train.search.storage import open_study
from knowlimits.train.search.trials import OBJECTIVES, Problem, evaluate
from knowlimits.workers import workers

X, Y = make_moons(160, noise=0.125, random_state=0)
SPACE = {"layers": {"low": 1, "high": 3}, "width": [4, 6], "learning_rate": {"low": 1e-3, "high": 0.1, "log": True}}


def small(**arguments):
    return kl.search(kl.NeuralNetwork(epochs=2), X, Y, SPACE, **{"trials": 6, "repeats": 2, **arguments})


def values(result):
    return [(t.number, t.parameters, t.scores) for t in result.trials]


def close(one, other):
    assert [t[:2] for t in values(one)] == [t[:2] for t in values(other)]
    np.testing.assert_allclose([t.scores for t in one.trials], [t.scores for t in other.trials], atol=0.02)


@pytest.mark.parametrize("name", ["NN", "MCDropout", "BBB"])
def test_a_trial_scores_in_a_population_as_it_does_alone(name):
    table = spaces()[name]
    problem = Problem(table.estimator.set_params(epochs=3), X, Y, 2, "log_loss", 0)
    space = Space.of(table.space, list(table.estimator.get_params()))
    drawn = [optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=s)).ask(space.drawn).params for s in range(5)]
    batch = [space.parameters(d) for d in drawn]
    together = evaluate(problem, batch)
    for parameters, outcome in zip(batch, together, strict=True):
        np.testing.assert_allclose(evaluate(problem, [parameters])[0].scores, outcome.scores, rtol=1e-3)


def test_a_seed_fixes_the_search_whatever_the_batches():
    close(small(batch=1), small(batch=6))
    assert values(small()) == values(small())
    assert [t.parameters for t in small(seed=1).trials] != [t.parameters for t in small().trials]


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_samplers_that_learn_repeat_too(sampler):
    first, second = (small(sampler=sampler, trials=14, batch=2) for _ in range(2))
    assert values(first) == values(second)
    # After ten draws at random they go where it was good.
    assert values(first) != values(small(trials=14, batch=2))


def test_draws_lie_in_the_published_space():
    for name, table in spaces().items():
        space = Space.of(table.space, list(table.estimator.get_params()))
        for number in range(100):
            draws = driver._Draws(driver.SAMPLERS["random"], 0, space, StudyDirection.MAXIMIZE, [])
            p = space.parameters(draws(number))
            assert 1 <= len(p["hidden_sizes"]) <= 4
            assert set(p["hidden_sizes"]) < {15, 20, 25}
            assert len(set(p["hidden_sizes"])) == 1
            assert 1e-4 <= p["learning_rate"] <= 0.1
            assert p["batch_size"] in (16, 32, 64)
            assert 0 <= p["dropout"] <= 0.35
            if name == "BBB":
                assert any(abs(p["prior_sigma1"] - np.exp(k / 10)) < 1e-6 for k in range(-8, 0))
    assert {name: table.trials for name, table in spaces().items()} == {"NN": 200, "MCDropout": 100, "BBB": 250}


def test_a_trial_that_diverges_is_recorded_and_the_search_goes_on(tmp_path):
    space = {"learning_rate": [0.01, 1e30], "width": [4], "layers": [1]}
    storage = str(tmp_path / "journal")
    result = kl.search(kl.NeuralNetwork(epochs=2), X, Y, space, trials=12, repeats=2, storage=storage)
    failed = [t for t in result.trials if t.failure]
    assert 0 < len(failed) < 12
    assert all(t.parameters["learning_rate"] == 1e30 and np.isnan(t.value) for t in failed)
    assert len(result.ranked) == 12 - len(failed)
    study = optuna.load_study(study_name="search", storage=optuna.storages.JournalStorage(_journal(storage)))
    assert sum(t.state == optuna.trial.TrialState.FAIL for t in study.trials) == len(failed)
    hopeless = kl.search(kl.NeuralNetwork(epochs=2), X, Y, {"learning_rate": [1e30]}, trials=2, repeats=1)
    with pytest.raises(ValueError, match=r"all 2 trials failed"):
        _ = hopeless.best


def _journal(path):
    return optuna.storages.journal.JournalFileBackend(path)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_objectives(objective):
    result = small(objective=objective, trials=4)
    problem = Problem(kl.NeuralNetwork(epochs=2), X, Y, 2, objective, 0)
    split = problem.split(1)
    model = problem.model(result.trials[2].parameters, 1).fit(split.X, split.y, split.X_val, split.y_val)
    expected = {
        "auc": roc_auc_score(split.y_test, model.predict_proba(split.X_test)[:, 1]),
        "published": roc_auc_score(split.y, model.predict_proba(split.X)[:, 1]),
        "accuracy": (model.predict(split.X_test) == split.y_test).mean(),
        "log_loss": -np.log(model.predict_proba(split.X_test)[np.arange(len(split.y_test)), split.y_test]).mean(),
    }[objective]
    assert result.trials[2].scores[1] == pytest.approx(expected, abs=1e-3)
    order = [t.value for t in result.ranked]
    assert order == sorted(order, reverse=objective != "log_loss")


def test_splits_are_disjoint_and_cover_the_data():
    problem = Problem(kl.NeuralNetwork(), np.arange(40.0)[:, None], np.arange(40) % 2, 3, "auc", 0)
    splits = [problem.split(repeat) for repeat in range(3)]
    for s in splits:
        assert sorted(np.concatenate([s.X, s.X_val, s.X_test]).ravel().tolist()) == list(range(40))
        assert (len(s.X), len(s.X_val), len(s.X_test)) == (20, 10, 10)
    assert len({s.X.tobytes() for s in splits}) == 3


def test_more_than_two_classes_and_labels_that_are_words():
    data = load_wine()
    y = data.target_names[data.target]
    result = kl.search(kl.Ensemble(members=2, epochs=3), data.data, y, {"learning_rate": [0.01, 0.02]}, trials=3, repeats=2)
    assert all(0 <= t.value <= 1 for t in result.trials)


# --- storage ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    return str(tmp_path / "journal") if request.param == "journal" else f"sqlite:///{tmp_path / 'trials.db'}"


def test_a_search_goes_on_where_it_stopped(storage, monkeypatch):
    whole = small(trials=8, batch=2)
    trained = []

    def counting(problem, batch):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(len(batch))
        return evaluate(problem, batch)

    monkeypatch.setattr(driver, "evaluate", counting)
    with pytest.raises(KeyboardInterrupt):
        small(trials=8, batch=2, storage=storage)
    monkeypatch.setattr(driver, "evaluate", evaluate)
    assert len(small(trials=4, batch=2, storage=storage).trials) == 4
    close(small(trials=8, batch=2, storage=storage), whole)
    monkeypatch.setattr(driver, "evaluate", lambda *_: pytest.fail("all of it is known"))
    close(small(trials=8, storage=storage), whole)
    assert len(small(trials=3, storage=storage).trials) == 3


def test_tpe_goes_on_with_what_it_has_learnt(storage):
    first = small(sampler="tpe", trials=12, storage=storage)
    more = small(sampler="tpe", trials=16, storage=storage)
    assert values(more)[:12] == values(first)
    assert len(more.trials) == 16


def test_other_settings_are_refused(storage):
    small(storage=storage)
    for change in ({"seed": 1}, {"repeats": 3}, {"objective": "log_loss"}, {"sampler": "tpe"}):
        with pytest.raises((ValueError, optuna.exceptions.OptunaError), match=f"other settings of.*{next(iter(change))}"):
            small(storage=storage, **change)
    assert len(small(storage=storage, name="another", seed=1).trials) == 6


def test_a_second_driver_is_refused(storage):
    with (
        open_study(storage, "search", StudyDirection.MAXIMIZE, {}),
        pytest.raises(StudyInUse, match="driven by another process"),
    ):
        small(storage=storage)
    small(storage=storage, name="other")


def test_a_foreign_study_is_refused(tmp_path):
    path = str(tmp_path / "journal")
    study = optuna.create_study(study_name="search", storage=optuna.storages.JournalStorage(_journal(path)))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(ValueError, match="was not made by knowlimits"):
        small(storage=path)


def test_what_a_killed_process_leaves_is_mended(tmp_path):
    path = tmp_path / "journal"
    before = small(storage=str(path))
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"half a li')
    os.symlink(path, f"{path}.lock")
    start = time.monotonic()
    assert values(small(storage=str(path))) == values(before)
    assert time.monotonic() - start < 25, "Optuna waits 30 s for a lock"
    assert len(small(storage=str(path), trials=9).trials) == 9


COMMAND = """
import sys, knowlimits as kl
from sklearn.datasets import make_moons
X, y = make_moons(160, noise=0.125, random_state=0)
space = {"layers": {"low": 1, "high": 3}, "width": [4, 6], "learning_rate": {"low": 1e-3, "high": 0.1, "log": True}}
print("begin", flush=True)
r = kl.search(kl.NeuralNetwork(epochs=2), X, y, space, trials=40, repeats=2, batch=1, storage=sys.argv[1])
print("end", flush=True)
"""


def recorded(storage, name="search"):
    """Numbers of the trials that a storage has."""
    if "://" not in storage:
        opened = optuna.storages.JournalStorage(_journal(storage))
    else:
        opened = optuna.storages.RDBStorage(storage.replace("postgresql://", "postgresql+psycopg://"))
    study = optuna.load_study(study_name=name, storage=opened)
    numbers = [trial.user_attrs["number"] for trial in study.trials]
    if "://" in storage:
        opened.engine.dispose()
    return numbers


def kill_and_go_on(storage, kills):
    """Kill a search at several moments, and let it finish."""
    rng = np.random.default_rng(0)
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", COMMAND, storage], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "begin\n"
        time.sleep(rng.uniform(0.1, 1.5))
        process.kill()
        process.wait()
        process.stdout.close()
    subprocess.run([sys.executable, "-c", COMMAND, storage], check=True, timeout=120)
    assert sorted(recorded(storage)) == list(range(40))


def test_kills_lose_and_double_nothing(storage):
    kill_and_go_on(storage, 3)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def postgresql():
    """The address of a server that this fixture starts."""
    import glob
    import pwd
    import shutil
    import socket
    import tempfile

    found = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[::-1]), None)
    if found is None:
        if os.environ.get("KNOWLIMITS_NEEDS_POSTGRESQL"):
            pytest.fail("KNOWLIMITS_NEEDS_POSTGRESQL is set, and there is no initdb")
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    folder = tempfile.mkdtemp(prefix="knowlimits-pg-")
    user = {}
    if os.getuid() == 0:
        # The server refuses to run as root; Debian's package makes a user for it.
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **user}
    subprocess.run([found, "-D", f"{folder}/data", "-U", "knowlimits", "-A", "trust", "--no-sync"], check=True, **quiet)
    server = found.replace("initdb", "postgres")
    options = ["-k", folder, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    process = subprocess.Popen([server, "-D", f"{folder}/data", *options], **quiet)
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, "the server has stopped"
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.1)
        time.sleep(0.5)
        yield f"postgresql://knowlimits@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.postgresql
def test_a_search_kept_in_postgresql(postgresql):
    close(small(storage=postgresql, name="first"), small())
    close(small(storage=postgresql, name="first", trials=8), small(trials=8))
    with (
        open_study(postgresql, "second", StudyDirection.MAXIMIZE, {}),
        pytest.raises(StudyInUse, match="driven by another process"),
    ):
        small(storage=postgresql, name="second")
    assert len(small(storage=postgresql, name="third").trials) == 6
    with pytest.raises(OSError, match=r"storage postgresql\+psycopg://knowlimits@127.0.0.1.* cannot be opened"):
        small(storage=postgresql.replace("/postgres", "/nowhere").replace("knowlimits@", "knowlimits:secret@"))


@pytest.mark.postgresql
def test_kills_lose_and_double_nothing_in_postgresql(postgresql):
    kill_and_go_on(postgresql, 2)


# --- Dask ------------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("default")
def test_workers_of_a_dask_cluster_one_of_which_is_killed():
    from distributed import Client, LocalCluster

    expected = small(trials=24, batch=2)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with Client(cluster) as client:
            pids = client.run(os.getpid)
            assert len(set(pids.values())) == 2
        timer = threading.Timer(2.0, os.kill, (next(iter(pids.values())), signal.SIGKILL))
        timer.start()
        result = kl.search(
            kl.NeuralNetwork(epochs=2), X, Y, SPACE, trials=24, repeats=2, batch=2, dask=cluster.scheduler_address
        )
        assert not timer.is_alive(), "the search was over before a worker was killed"
        close(result, expected)
        network = kl.Stack([torch.randn(1, 6, 2), torch.randn(1, 1, 6)], [torch.randn(1, 6), torch.randn(1, 1)])
        with Client(cluster), joblib.parallel_config(backend="dask"):
            assert len(kl.partition(network, jobs=2)) == len(kl.partition(network))
        with workers(cluster.scheduler_address) as crew:
            assert crew.submit(sum, crew.share([1, 2])).result() == 3


def test_no_cluster_is_a_clear_error():
    with pytest.raises(OSError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"), workers("tcp://127.0.0.1:9"):
        pass


# --- files and arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials must be a whole number of at least 1. Got 0"),
        ({"repeats": 1.5}, "repeats must be a whole number"),
        ({"objective": "f1"}, "objective must be one of 'auc', 'log_loss', 'accuracy', 'published'. Got 'f1'"),
        ({"sampler": "grid"}, "sampler must be one of 'random', 'tpe', 'gp'"),
        ({"storage": "mysql://host/db"}, "storage must be the path of a journal file"),
        ({"storage": "sqlite://memory"}, "storage must be the path of a journal file"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"depth": [1]}, r"parameters of the model. Got \['depth'\]"),
        ({"layers": [1]}, "layers and width together"),
        ({"dropout": {"low": 0.1}}, "dropout in space must have low, high"),
        ({"dropout": {"low": 0.3, "high": 0.1}}, "dropout in space is no range"),
        ({"dropout": []}, "dropout in space must have a choice at least"),
        ({"dropout": 0.1}, "space must have a parameter to draw"),
    ],
)
def test_bad_spaces(space, message):
    with pytest.raises(ValueError, match=message):
        kl.search(kl.NeuralNetwork(), X, Y, space)


def test_other_bad_input():
    with pytest.raises(TypeError, match="estimator must be a classifier of knowlimits"):
        kl.search(object(), X, Y, SPACE)
    with pytest.raises(ValueError, match="at least 2 classes"):
        kl.search(kl.NeuralNetwork(), X, np.zeros(160), SPACE)
    with pytest.raises(ValueError, match="at least 4 rows of each class"):
        kl.search(kl.NeuralNetwork(), X[:6], [0, 0, 0, 0, 1, 1], SPACE)


def test_choices_may_be_lists():
    space = {"hidden_sizes": [[4], [3, 2]]}
    result = kl.search(kl.NeuralNetwork(epochs=1), X, Y, space, trials=6, repeats=1)
    assert {t.parameters["hidden_sizes"] for t in result.trials} == {(4,), (3, 2)}


def table(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(text)
    return path


def test_tables(tmp_path):
    X, y, names = read_table(table(tmp_path, "a,label,b\n1,yes,2.5\n3,no,-4e2\n\n"), "label")
    assert X.tolist() == [[1, 2.5], [3, -400]]
    assert (y.tolist(), names) == (["yes", "no"], ["a", "b"])
    assert read_table(table(tmp_path, "a,y\n1,0\n2,1\n"), "y")[1].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "must have one column 'y'. Got a, b"),
        ("a,y\n", "must have a line of names and rows below it"),
        ("a,y\n1,0\n1\n", "row 3, must have 2 entries. Got 1"),
        ("a,y\n,0\n", "row 2, column 'a', must be a number. Got nothing"),
        ("a,y\nred,0\n", "row 2, column 'a', must be a number. Got 'red'"),
        ("a,y\n1,0\nnan,0\n", "row 3, column 'a', must be finite"),
        ("a,y\n1,\n", "row 2, column 'y', must have a label"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_table(table(tmp_path, text), "y")


def test_figures_and_importances():
    result = small(trials=12)
    shares = result.importances()
    assert set(shares) == {"layers", "width", "learning_rate"}
    assert sum(shares.values()) == pytest.approx(1)
    figure = plots.search("NN", result, shares)
    assert [ax.get_title().split(",")[0] for ax in figure.axes if ax.get_visible()] == list(shares)
    plt.close(figure)
    assert small(trials=2).importances() == {}


def test_published_files_are_read(tmp_path):
    published = {"dropout_rate": 0.1, "hidden_sizes": [20, 20], "lr": 0.0005, "class_weight": True, "input_size": 2}
    content = {"3": {"score": 0.5, "hyperparameters": {}}, "7": {"score": 0.9, "hyperparameters": published}}
    (tmp_path / "NN.json").write_text(json.dumps(content))
    expected = {"dropout": 0.1, "hidden_sizes": (20, 20), "learning_rate": 0.0005, "class_weight": "batch"}
    found = read_hyperparameters(tmp_path)
    assert found == dict.fromkeys(("NN", "PlattScalingNN", "NNEnsemble", "AnchoredNNEnsemble"), expected)
    (tmp_path / "NN.json").write_text("[1]")
    with pytest.raises(ValueError, match="must hold trials with score and hyperparameters"):
        read_hyperparameters(tmp_path)
    with pytest.raises(ValueError, match=r"must have files such as NN\.json"):
        read_hyperparameters(tmp_path / "nowhere")
