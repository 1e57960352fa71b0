"""Frames from files, lazily: one interface for every source."""

from deepstorm.io.movies.opening import open_movie as open_movie
