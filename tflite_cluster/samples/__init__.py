"""Inputs to run a model on: the samples a user gives, or synthetic ones."""
