"""`knowlimits search`: the hyperparameter search of the paper."""
