"""Movies, localization tables and images: files in, arrays and records out, and back."""
