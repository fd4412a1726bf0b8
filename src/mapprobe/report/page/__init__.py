"""The page about a recording, and its styles and scripts."""
