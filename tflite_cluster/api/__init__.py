"""One module for each public verb."""
