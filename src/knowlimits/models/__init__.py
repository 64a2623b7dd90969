"""The six classifiers, one file each."""

from knowlimits.models.anchored_ensemble import AnchoredEnsemble
from knowlimits.models.base import StackClassifier, fit_together
from knowlimits.models.bayes_by_backprop import BayesByBackprop
from knowlimits.models.ensemble import Ensemble
from knowlimits.models.mc_dropout import MCDropout
from knowlimits.models.neural_network import NeuralNetwork
from knowlimits.models.platt_scaled import PlattScaled

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
