"""Formats of profilers: one module for each format."""
