"""From requirements and an inventory to a lock: which wheels go in, what the base provides, what moves."""
