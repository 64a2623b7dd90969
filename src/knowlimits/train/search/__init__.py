"""Hyperparameter search: many trials trained together, kept in a database, spread over machines."""

from knowlimits.train.search.driver import SearchResult, Trial, search
from knowlimits.train.search.space import Space
from knowlimits.train.search.storage import StudyInUse

__all__ = ["SearchResult", "Space", "StudyInUse", "Trial", "search"]
