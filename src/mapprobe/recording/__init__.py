"""WHAT STANDS ON DISK: the tables of a recording, how they are written, read, packed and checked."""
