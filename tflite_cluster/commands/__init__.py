"""The words of the user into calls of the API, a module for each command."""
