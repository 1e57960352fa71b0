"""Blinking movies with known truth: scene, blinking, PSF, camera."""
