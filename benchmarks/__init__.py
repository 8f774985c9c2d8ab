"""Builds the same images with rayimage and with what people use today, side by side; docs/benchmark.md explains it."""
