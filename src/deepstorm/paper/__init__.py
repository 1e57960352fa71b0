"""The figures and tables of the paper (Nehme et al. 2018), made anew and set beside its own."""
