"""`knowlimits reproduce`: the experiments of the paper, and what its title calls for."""
