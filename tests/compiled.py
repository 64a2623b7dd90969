"""Compile and keep the loops of partitions and of the most used families, before the workers of the tests each do it.

python -m tests.compiled
"""

import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

import knowlimits as kl


def main() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
    kl.partition(net).merged()
    kl.horizon(net)
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    for model in (*(KNeighborsClassifier(p=p) for p in (1, 2, 3)), RandomForestClassifier(5, random_state=0)):
        kl.far_field(model.fit(X, y), X[:3], np.eye(13)[:3])


if __name__ == "__main__":
    main()
