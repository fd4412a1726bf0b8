"""EVENTS IN, THE STATE OF EVERY MAP OUT. Pure: no file, no process."""
