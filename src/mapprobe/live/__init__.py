"""Reads a running process from outside; nothing is probed."""
