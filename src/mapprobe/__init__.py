"""mapprobe: which call sites hold how many bytes of Go map buckets that hold nothing."""

__version__ = "0.1.0"
