"""scikit-learn's discriminants: linear and quadratic."""

from typing import Any

import numpy as np

from knowlimits.model.asked import Asked
from knowlimits.model.families.discriminants import Discriminants
from knowlimits.model.families.polynomials import Softmax
from knowlimits.model.kinds.fitted import check_fitted
from knowlimits.model.kinds.linear import read_scores
from knowlimits.model.kinds.polynomials import read_posteriors
from knowlimits.model.kinds.posteriors import posterior_kind
from knowlimits.model.model import Model


def read_quadratic(model: Any, places: list[int], asked: Asked) -> Model:
    """Polynomials of degree 2.

    Raises:
        ValueError: if it is not fitted, or a covariance is singular.
    """
    check_fitted(model, "means_", "rotations_", "scalings_")
    factors, determinants = [], []
    for place in places:
        scaling = np.asarray(model.scalings_[place])
        if not (scaling > 0).all():
            raise ValueError(
                f"model must have covariances of full rank. Got that of class {model.classes_[place]} with a variance of "
                f"{scaling.min():g}: fit it with reg_param, or leave out columns that others determine."
            )
        factors.append(model.rotations_[place] * scaling**-0.5)
        determinants.append(np.log(scaling).sum())
    priors = np.log(np.asarray(model.priors_)[places])
    scores = Discriminants(model.means_[places], factors, np.array(determinants), priors)
    return read_posteriors(model, scores, Softmax(), places, asked, decides=True)


#: By the names of classes in the registry.
DISCRIMINANTS = {
    "sklearn.LinearDiscriminantAnalysis": read_scores,
    "sklearn.QuadraticDiscriminantAnalysis": posterior_kind(read_quadratic, "priors_"),
}
