"""The tools that are measured: one module each, which defines `TOOL`."""
