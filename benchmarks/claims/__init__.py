"""What the method claims, measured in small: ``python -m benchmarks.claims``, a module a claim."""
