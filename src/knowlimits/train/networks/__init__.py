"""The training of whole populations of ReLU networks."""

from knowlimits.train.networks.gaussian import KLWeights, Variational
from knowlimits.train.networks.loss import ClassWeight
from knowlimits.train.networks.point import Point
from knowlimits.train.networks.population import Trained, train
from knowlimits.train.networks.settings import Method, Settings, stream
from knowlimits.train.networks.weights import Learnt, Weights

__all__ = [
    "ClassWeight",
    "KLWeights",
    "Learnt",
    "Method",
    "Point",
    "Settings",
    "Trained",
    "Variational",
    "Weights",
    "stream",
    "train",
]
