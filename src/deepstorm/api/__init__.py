"""The verbs, one module each: paths or arrays in, records out."""
