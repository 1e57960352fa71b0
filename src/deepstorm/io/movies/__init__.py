"""Frames from files, lazily: one interface for every source."""
