"""What is seen of a model while it runs on samples: what meets its weights, what errors do to its outputs."""
