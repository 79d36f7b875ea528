"""Rows of metering: sources and readings, runs of observations and usage, and what lines and reports need of them."""
