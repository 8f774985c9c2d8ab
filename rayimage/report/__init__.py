"""What people and machines see: progress, tables, JSON."""
