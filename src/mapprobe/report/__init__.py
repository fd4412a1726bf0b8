"""One module per output format, each with `write(report, out)`."""
