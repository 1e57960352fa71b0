"""Scores of any result against truth: emitters, images, resolution."""
