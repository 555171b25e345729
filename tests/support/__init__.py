"""What several test files use: models made by hand, checks written apart from the package, and where fixtures lie."""
