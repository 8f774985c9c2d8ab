"""Dependency specifications of a role: which files, and what is in them."""
