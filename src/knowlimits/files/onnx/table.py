"""The table of ONNX operators, put together from those of the files beside it, one for each subject.

To add an operator, write what it does in the file of its subject, enter it in the table there, and give
`tests/files/onnx_models.py` a case, or the tests fail.
"""

from knowlimits.files.onnx import (
    activations,
    arithmetic,
    encoders,
    linear,
    machines,
    ml,
    norms,
    places,
    quantised,
    reductions,
    resizing,
    shapes,
    trees,
    windows,
)
from knowlimits.files.onnx.building import Operator
from knowlimits.files.onnx.graph import MICROSOFT, ML, Key

SUBJECTS = (arithmetic, activations, linear, norms, windows, resizing, reductions, shapes, places, quantised)
# Of the domain ai.onnx.ml.
OF_ML = (ml, encoders, trees, machines)

# By domain and name.
TABLE: dict[Key, Operator] = {("", name): operator for subject in SUBJECTS for name, operator in subject.TABLE.items()}
TABLE |= {(ML, name): operator for subject in OF_ML for name, operator in subject.TABLE.items()}
TABLE |= {(MICROSOFT, name): operator for name, operator in quantised.OF_MICROSOFT.items()}
