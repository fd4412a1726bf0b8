"""Formats of profilers: one module a format."""
