"""What chips call: Python packages that may be absent, tables of values, and work for a process of its own."""
