"""The training of whole populations of ReLU networks."""

from knowlimits.train.networks.members import Member, Variational, stream
from knowlimits.train.networks.population import Trained, train

__all__ = ["Member", "Trained", "Variational", "stream", "train"]
