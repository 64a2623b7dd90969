"""The classifiers, one file each, and the registry of them."""

from knowlimits.train.classifiers.anchored_ensemble import AnchoredEnsemble
from knowlimits.train.classifiers.base import StackClassifier, Task, fit_together, stack
from knowlimits.train.classifiers.bayes_by_backprop import BayesByBackprop
from knowlimits.train.classifiers.ensemble import Ensemble
from knowlimits.train.classifiers.mc_dropout import MCDropout
from knowlimits.train.classifiers.neural_network import NeuralNetwork
from knowlimits.train.classifiers.platt_scaled import PlattScaled

#: The classifiers by their names. What is entered here has files, settings of studies and the tests of the contract.
CLASSIFIERS: dict[str, type[StackClassifier]] = {
    kind.__name__: kind
    for kind in (
        NeuralNetwork,
        PlattScaled,
        MCDropout,
        BayesByBackprop,
        Ensemble,
        AnchoredEnsemble,
    )
}

__all__ = [
    "CLASSIFIERS",
    "AnchoredEnsemble",
    "BayesByBackprop",
    "Ensemble",
    "MCDropout",
    "NeuralNetwork",
    "PlattScaled",
    "StackClassifier",
    "Task",
    "fit_together",
    "stack",
]
