"""Does the clustered model still compute the same thing: metrics, gates and the verdict."""
