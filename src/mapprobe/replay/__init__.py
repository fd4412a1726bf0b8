"""REPLAY: events in, the state of every map out. Pure: no file, no process."""
