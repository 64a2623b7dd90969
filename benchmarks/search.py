"""The hyperparameter search of the paper: a plain sequential PyTorch loop over its trials against ours, in one run.

Both train the paper's 550 trials (200 of NN, 100 of MC dropout, 250 of Bayes by backprop), each on five splits, with early
stopping, and score them by AUC on held-out data. The sequential side does so for every twentieth of our trials, and its time is
scaled up. Then: the rate on one and two Dask workers, and the cost per trial as trials grow in number.

    python -m benchmarks.search [--growth] [--dask]
"""

import argparse
import time

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

import knowlimits as kl
from benchmarks.training import sequential
from knowlimits.studies.search.study import draw_data, spaces
from knowlimits.train.search.trials import Problem
from knowlimits.workers import workers

EVERY, REPEATS = 20, 5


def ours(name, trials, dask=None):
    X, y = draw_data(0)
    table = spaces()[name]
    start = time.perf_counter()
    result = kl.search(table.estimator, X, y, table.space, trials=trials or table.trials, repeats=REPEATS, dask=dask)
    return time.perf_counter() - start, result


def theirs(name, result):
    """Seconds of some trials, scaled to all of them, and the mean AUC of these."""
    X, y = draw_data(0)
    problem = Problem(spaces()[name].estimator, X, y, REPEATS, "auc", 0)
    chosen = result.trials[::EVERY]
    start = time.perf_counter()
    scores = []
    for trial in chosen:
        parameters = {**problem.estimator.get_params(), **trial.parameters}
        for repeat in range(REPEATS):
            split = problem.split(repeat)
            network = sequential(parameters, split)
            network.eval()
            with torch.no_grad():
                logits = network(torch.tensor(split.X_test, dtype=torch.float32))[:, 0]
            scores.append(roc_auc_score(split.y_test, logits.nan_to_num()))
    took = time.perf_counter() - start
    return took * len(result.trials) / len(chosen), len(chosen), float(np.mean(scores))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--growth", action="store_true", help="cost per trial from 50 to 5,000 trials")
    parser.add_argument("--dask", action="store_true", help="trials a second on one and on two Dask workers")
    arguments = parser.parse_args()
    ours("NN", 2)  # warm up
    print("| model | trials | sequential, s (scaled from) | ours, s | ratio | mean AUC sequential | ours |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    total = np.zeros(2)
    for name in spaces():
        took, result = ours(name, None)
        scaled, count, auc = theirs(name, result)
        mine = np.mean([t.value for t in result.trials[::EVERY] if t.failure is None])
        total += scaled, took
        times = f"{scaled:.0f} ({count}) | {took:.1f} | {scaled / took:.1f}"
        print(f"| {name} | {len(result.trials)} | {times} | {auc:.3f} | {mine:.3f} |", flush=True)
    print(f"| all | | {total[0]:.0f} | {total[1]:.1f} | {total[0] / total[1]:.1f} | | |", flush=True)
    if arguments.growth:
        for trials in (50, 500, 5000):
            took, _ = ours("NN", trials)
            print(f"NN, {trials:,} trials: {1000 * took / trials:.1f} ms a trial", flush=True)
    if arguments.dask:
        from distributed import LocalCluster

        for count in (1, 2):
            with LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0") as cluster:
                with workers(cluster.scheduler_address) as crew:
                    # Imports.
                    [crew.submit(ours, "NN", 2).result() for _ in range(4)]
                took, result = ours("NN", 400, cluster.scheduler_address)
                print(f"NN, 400 trials on {count} Dask workers: {len(result.trials) / took:.1f} trials a second", flush=True)


if __name__ == "__main__":
    main()
