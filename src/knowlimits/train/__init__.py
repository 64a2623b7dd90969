"""Training: populations of networks, the six classifiers, the hyperparameter search."""
