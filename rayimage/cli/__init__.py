"""One module per command: parse, call, report."""
