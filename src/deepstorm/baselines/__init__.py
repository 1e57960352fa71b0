"""The methods that Deep-STORM is compared with: CEL0, FALCON, and deconvolution of the mean."""
