"""Exact models of Go's two maps, as kernels over arrays.

`state` holds the arrays that both share, `arena` deals out buckets, `control`
reads the eight control bytes of one, `classic` and `swiss` do what the Go
runtime does, `check` says whether a state can be, `sizes` what the Go
allocator charges. Only hashes go in: no key, no value.
"""
