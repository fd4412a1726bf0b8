"""RECORD: a running process in, the tables of a recording out."""
