"""The six classifiers, one file each."""

from knowlimits.train.classifiers.anchored_ensemble import AnchoredEnsemble
from knowlimits.train.classifiers.base import StackClassifier, fit_together
from knowlimits.train.classifiers.bayes_by_backprop import BayesByBackprop
from knowlimits.train.classifiers.ensemble import Ensemble
from knowlimits.train.classifiers.mc_dropout import MCDropout
from knowlimits.train.classifiers.neural_network import NeuralNetwork
from knowlimits.train.classifiers.platt_scaled import PlattScaled

__all__ = [
    "AnchoredEnsemble",
    "BayesByBackprop",
    "Ensemble",
    "MCDropout",
    "NeuralNetwork",
    "PlattScaled",
    "StackClassifier",
    "fit_together",
]
