"""What reading a model costs, as a share of what it is read for: an audit, and a far field of rays.

python -m benchmarks.reading
"""

import time
import warnings
from statistics import median

import numpy as np
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import BaggingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

import knowlimits as kl
from tests.architectures import ResNet18, randomized

X, Y = load_breast_cancer(return_X_y=True)
CODES = np.c_[X, np.arange(len(X)) % 4]
REPETITIONS = 5


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(30), nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 2), nn.Softmax(1)).eval()


def perceptron():
    return MLPClassifier((25, 25), max_iter=50, random_state=0)


def encoded():
    columns = ColumnTransformer([("numbers", StandardScaler(), list(range(30))), ("codes", OneHotEncoder(), [30])])
    return make_pipeline(columns, perceptron()).fit(CODES, Y)


MODELS = {
    "ensemble of 10": (lambda: kl.Ensemble(epochs=5, random_state=0).fit(X, Y), X),
    "torch module, softmax at its end": (module, X),
    "pipeline, scaled": (lambda: make_pipeline(StandardScaler(), perceptron()).fit(X, Y), X),
    "pipeline, scaled and encoded": (encoded, CODES),
    "bags of pipelines": (lambda: BaggingClassifier(make_pipeline(StandardScaler(), perceptron()), 5).fit(X, Y), X),
    "calibrated pipeline": (lambda: CalibratedClassifierCV(make_pipeline(StandardScaler(), perceptron()), cv=3).fit(X, Y), X),
}


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    warnings.simplefilter("ignore")
    print(f"{'model':34}{'read, ms':>10}{'audit, ms':>11}{'share':>8}")
    for name, (make, rows) in MODELS.items():
        model = make()
        kl.audit(model, rows, Y)
        # In turns, so that both are of the same minutes.
        times = [
            (seconds(lambda m=model, r=rows: kl.read(m, X=r)), seconds(lambda m=model, r=rows: kl.audit(m, r, Y)))
            for _ in range(REPETITIONS)
        ]
        read, audit = (1000 * median(part) for part in zip(*times, strict=True))
        print(f"{name:34}{read:10.1f}{audit:11.0f}{read / audit:8.1%}")
    torch.manual_seed(0)
    images = torch.randn(64, 3, 32, 32, dtype=torch.float64)
    resnet = randomized(ResNet18()).double().eval()
    read = median(seconds(lambda: kl.read(resnet, X=images)) for _ in range(REPETITIONS))
    far = seconds(lambda: kl.far_field(resnet, images, torch.ones_like(images)))
    print(f"{'ResNet-18, 64 images':34}{1000 * read:10.0f}{1000 * far:11.0f}{read / far:8.1%}  (of far_field, 64 rays)")


if __name__ == "__main__":
    main()
