"""Measurements: one file per number of the design, ratios in one run."""
