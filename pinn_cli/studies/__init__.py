"""Many runs: sweeps, launchers, comparisons, collections, published tables."""
