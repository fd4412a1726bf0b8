"""RESULTS IN, FIGURES OUT: sums, comparisons, budgets, verdicts. Pure: no file, no process."""
