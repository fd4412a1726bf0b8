"""RESULTS IN, FIGURES OUT: what is added up, compared and judged. Pure: no file, no process."""
