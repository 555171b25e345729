"""What `tools/benchmark.py` is made of: models, methods, measurements and the rows they become."""
