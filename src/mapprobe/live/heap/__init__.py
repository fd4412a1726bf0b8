"""The heap of a Go process, read from outside: spans, goroutines, references. It knows no maps."""
