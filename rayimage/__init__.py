"""Turn a Python project into the container images a Ray cluster on Kubernetes runs."""

__version__ = "0.1.0"
