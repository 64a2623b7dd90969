"""Stacks of ReLU networks and the training of whole populations of them."""

from knowlimits.networks.members import Member, Variational, stream
from knowlimits.networks.population import Trained, train
from knowlimits.networks.stack import Stack

__all__ = ["Member", "Stack", "Trained", "Variational", "stream", "train"]
