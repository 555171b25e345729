"""Cluster the weights of a converted .tflite model in place, so that it zips several times smaller."""

__version__ = "0.1.0"
