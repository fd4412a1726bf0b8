"""The heap of a Go process, read from outside: spans, goroutines, references. Nothing here knows maps."""
