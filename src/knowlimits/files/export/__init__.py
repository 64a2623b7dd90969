"""Classifiers as ONNX files that run without this library: `knowlimits.export`.

A file takes the columns as a person has them, and gives `label` and `probabilities`. `drawn.py` writes what this library reads
in closed form (its own classifiers, and trees of any library), `modules.py` other torch modules through torch's exporter,
`estimators.py` scikit-learn's through skl2onnx. What is written is run before it is saved, and held to the model.

Behind the graph of a guard's model comes its gate (`gate.py`), which gives `unfamiliarity` and `accepted`, too; the whole is
held to the guard (`guarded.py`). `converters.py` is what skl2onnx itself asks for guards and the classifiers of this library.
"""
