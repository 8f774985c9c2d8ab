"""From a plan to images: directly, or through the Docker Engine."""
