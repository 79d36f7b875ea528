"""Stablemeter: meters GPU-hours, bills them in stablecoins, and proves that both are the same money."""

from importlib.metadata import version

__version__ = version("stablemeter")
