"""The base image: resolved to a digest, read once into an inventory, cached by digest."""
