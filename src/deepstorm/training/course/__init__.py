"""How a training runs: its length, its folder, its log."""
