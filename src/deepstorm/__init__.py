"""deepstorm."""
