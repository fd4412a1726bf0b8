"""What keeps the memory of a process, from the tables of `record --heap`: parts, lives of arrays, findings, verdict."""
