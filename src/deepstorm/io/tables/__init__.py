"""Tables of emitters, one module per family of formats."""
