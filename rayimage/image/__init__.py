"""Images as values: planned, assembled from base and layers, kept in an OCI layout."""
