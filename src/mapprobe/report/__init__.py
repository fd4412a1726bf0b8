"""FIGURES IN, A FORMAT OUT: one module for each output format, each with `write(report, out)`."""
