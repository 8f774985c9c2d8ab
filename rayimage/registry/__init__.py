"""The OCI distribution protocol; knows nothing of Python packaging."""
