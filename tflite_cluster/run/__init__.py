"""One run: the session with the interpreter, the strategy, what became of the tensors, proof and final check."""
