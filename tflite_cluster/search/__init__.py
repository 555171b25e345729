"""The smallest zip at a fidelity: what each tensor may cost, and how far the whole model may go."""
