"""The processes that benchmarks start beside themselves, each run by name."""
