"""What runs of a model on samples show: the inputs of its layers, and what errors in them do to its outputs."""
