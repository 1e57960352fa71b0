"""The networks, what travels with their weights, and how intensities are scaled for them."""
