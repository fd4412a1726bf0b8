"""THE LIBRARY: one call for each command, and what a call returns. Glue, no rules."""
