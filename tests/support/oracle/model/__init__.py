"""Exact models of Go's two maps, as plain functions over arrays: what the core does (src/core), step by step in Python.

`state` holds the arrays that both share, `arena` deals out buckets, `control`
reads the eight control bytes of one, `classic` and `swiss` do what the Go
runtime does, `check` says whether a state can be, `sizes` what the Go
allocator charges. Only hashes go in: no key, no value.
"""
