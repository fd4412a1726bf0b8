"""Where to probe: found by decoding the functions of each binary, never taken from a table."""
