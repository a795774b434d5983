"""What the benchmarks share: environments, load, bare baselines and tables."""
