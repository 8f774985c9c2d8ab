"""The project configuration: ``[tool.rayimage]`` in, frozen values out."""
