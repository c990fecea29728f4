"""What runs in environments of its own, made by :mod:`benchmarks.environments`; nothing here is imported by us."""
