"""Support vectors and Gaussian processes."""

import warnings

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, ExpSineSquared, Matern, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, NuSVC, OneClassSVM

from tests.zoo.entry import FAMILY, Entry, refused
from tests.zoo.estimators import MIXED
from tests.zoo.nets import own
from tests.zoo.tables import CANCER, FRAME, RAW, RAW_CANCER, WINE

# A function of a family's probabilities has no gradients either.
MADE_OF = FAMILY | MIXED
# A linear classifier of what families say has logits.
STACKED = {name: FAMILY[name] for name in ("partition", "horizon", "gradient_magnitude")}


def svc(cls=SVC, **settings):
    """With probabilities, of which scikit-learn 1.9 says that they will be gone."""
    return cls(probability=True, random_state=0, **settings)


def calibrated(cls=SVC, method="sigmoid", **settings):
    return CalibratedClassifierCV(cls(**settings), cv=2, method=method)


def scaled(model):
    return make_pipeline(StandardScaler(), model)


def process(kernel=None, **settings):
    return GaussianProcessClassifier(kernel, optimizer=None, **settings)


def entry(about, build, table=WINE, by_design=FAMILY, **more):
    def quietly():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return build().fit(table.X, table.y)

    return Entry(about, quietly, table, more.pop("truth", own), refused=by_design, **more)


def of_pairs(model, X):
    return np.full((len(X), 3), np.nan)


ENTRIES: dict[str, Entry] = {
    "svc_two": entry("`SVC(probability=True)`, two classes", svc, CANCER),
    "svc_linear": entry("`SVC(probability=True)`, linear", lambda: svc(kernel="linear")),
    "svc_poly": entry("`SVC(probability=True)`, polynomial", lambda: svc(kernel="poly", coef0=1.0), CANCER),
    "svc_poly_several": entry("`SVC(probability=True)`, polynomial, three classes", lambda: svc(kernel="poly", degree=2)),
    "svc_sigmoid": entry("`SVC(probability=True)`, sigmoid", lambda: svc(kernel="sigmoid", gamma=0.1)),
    "svc_pipeline": entry(
        "`SVC(probability=True)` in a Pipeline, a table", lambda: scaled(svc(class_weight="balanced")), FRAME
    ),
    "nu_svc": entry("`NuSVC(probability=True)`", lambda: svc(NuSVC, nu=0.3)),
    "svc_calibrated": entry("`SVC`, calibrated, three classes", calibrated, by_design=MADE_OF),
    "svc_calibrated_two": entry("`SVC`, calibrated, two classes", calibrated, CANCER, MADE_OF),
    "svc_isotonic": entry("`SVC`, calibrated by isotonic regression", lambda: calibrated(method="isotonic"), by_design=MADE_OF),
    "svc_isotonic_two": entry(
        "`SVC`, calibrated by isotonic regression, two classes", lambda: calibrated(method="isotonic"), CANCER, MADE_OF
    ),
    "svc_calibrated_linear": entry(
        "`SVC(kernel='linear')`, calibrated, three classes", lambda: calibrated(kernel="linear"), by_design=MADE_OF
    ),
    "svc_calibrated_pairs": entry(
        "`SVC(decision_function_shape='ovo')`, calibrated",
        lambda: calibrated(decision_function_shape="ovo"),
        by_design=MADE_OF,
    ),
    "svc_calibrated_whole": entry(
        "`SVC` in a Pipeline, calibrated, `ensemble=False`",
        lambda: CalibratedClassifierCV(scaled(SVC()), cv=2, ensemble=False),
        RAW_CANCER,
        MADE_OF,
    ),
    "svc_voting": entry(
        "`SVC` and `LogisticRegression`, voting",
        lambda: VotingClassifier([("a", svc()), ("b", LogisticRegression())], voting="soft"),
    ),
    "svc_bagging": entry("`SVC`, bagged", lambda: BaggingClassifier(svc(), 3, random_state=0, max_features=0.8)),
    "svc_stacking": entry(
        "`SVC` stacked with another",
        lambda: StackingClassifier([("a", SVC()), ("b", scaled(svc(kernel="sigmoid", gamma=0.1)))], cv=2),
        by_design=STACKED,
    ),
    "svc_one_vs_rest": entry("`OneVsRestClassifier` of `SVC`", lambda: OneVsRestClassifier(svc()), by_design=MADE_OF),
    "svc_scores": entry("`SVC` without probabilities", SVC, by_design=refused("no probabilities"), truth=of_pairs),
    "svc_own_kernel": entry(
        "`SVC` with a function as its kernel", lambda: svc(kernel=lambda x, y: x @ y.T), by_design=refused("not known", "Guard")
    ),
    "one_class_svm": entry("`OneClassSVM`", OneClassSVM, by_design=refused("no classes"), truth=of_pairs),
    "gaussian_process": entry("`GaussianProcessClassifier`", process),
    "gaussian_process_two": entry("`GaussianProcessClassifier`, two classes", GaussianProcessClassifier, CANCER),
    "gaussian_process_pipeline": entry(
        "`GaussianProcessClassifier` in a Pipeline", lambda: scaled(process(ConstantKernel(2.0) * Matern(2.0))), RAW
    ),
    "gaussian_process_constant": entry(
        "`GaussianProcessClassifier`, a constant and noise", lambda: process(ConstantKernel(2.0) + RBF(2.0) + WhiteKernel(0.1))
    ),
    "gaussian_process_linear": entry("`GaussianProcessClassifier`, dot products", lambda: process(DotProduct() + RBF(1.0))),
    "gaussian_process_calibrated": entry(
        "`GaussianProcessClassifier`, calibrated",
        lambda: CalibratedClassifierCV(process(ConstantKernel(2.0) + RBF(1.0)), cv=2),
        CANCER,
        MADE_OF,
    ),
    "gaussian_process_voting": entry(
        "`GaussianProcessClassifier` and `SVC`, voting",
        lambda: VotingClassifier([("a", process(RBF(1.0))), ("b", svc())], voting="soft", weights=[2, 1]),
        by_design=MADE_OF,
    ),
    "gaussian_process_one_vs_rest": entry(
        "`OneVsRestClassifier` of `GaussianProcessClassifier`",
        lambda: OneVsRestClassifier(process(ConstantKernel(2.0) + RBF(1.0))),
        by_design=MADE_OF,
    ),
    "gaussian_process_periodic": entry(
        "`GaussianProcessClassifier`, periodic",
        lambda: process(ExpSineSquared(1.0, 3.0) + WhiteKernel(30.0)),
        by_design=refused("no limit", "Guard"),
    ),
}
