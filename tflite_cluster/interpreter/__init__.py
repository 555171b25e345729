"""The interpreter in its child process: real models crash it, hang it and eat memory."""
