"""Movies in TIFF files."""
