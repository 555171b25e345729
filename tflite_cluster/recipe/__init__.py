"""Recipes: settings of a run in a file, to be repeated."""
