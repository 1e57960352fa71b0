"""What a raw movie says of its own camera, optics and emitters."""
