"""The native core of mapprobe: Go's maps, and what is hot."""
