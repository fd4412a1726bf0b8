"""THE LIBRARY: one call for each command. It connects the other packages, and has no rules of its own."""
