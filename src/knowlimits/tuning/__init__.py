"""Hyperparameter search: many trials trained together, kept in a database, spread over machines."""

from knowlimits.tuning.search import SearchResult, Trial, search
from knowlimits.tuning.space import Space
from knowlimits.tuning.storage import StudyInUse

__all__ = ["SearchResult", "Space", "StudyInUse", "Trial", "search"]
