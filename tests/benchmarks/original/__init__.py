"""SEEM computed and trained the way the original does it: the baseline of the benchmarks alone."""
