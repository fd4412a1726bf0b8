"""The HTML page about a recording, with its styles and scripts."""
