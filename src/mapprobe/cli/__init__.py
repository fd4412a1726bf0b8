"""The command `mapprobe`: parse, one call, show. The only package that prints, and that knows exit codes."""
