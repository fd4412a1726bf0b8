"""WHAT A RUNNING PROCESS SAYS: read from outside, nothing probed."""
