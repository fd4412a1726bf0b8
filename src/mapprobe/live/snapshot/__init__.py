"""One map, read whole from the memory of a process."""
