"""Image layers, byte for byte the same on every machine."""
