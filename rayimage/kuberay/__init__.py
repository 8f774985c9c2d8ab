"""Image references in KubeRay YAML: found, and replaced without touching another byte."""
