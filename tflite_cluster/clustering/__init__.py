"""Arrays in, arrays out: codebooks and the assignment of weights to them."""
