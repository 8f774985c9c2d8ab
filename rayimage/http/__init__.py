"""HTTP for registries, package indexes and files: connections, patience, redirects, and messages without secrets."""
