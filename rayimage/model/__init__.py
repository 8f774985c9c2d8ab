"""Frozen values, parsed once at the edge: the vocabulary that every other room speaks.

Standard library and ``packaging`` only. Nothing here opens a file or a socket.
"""
