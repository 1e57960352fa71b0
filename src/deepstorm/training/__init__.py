"""Training pairs, losses and the training loop."""
