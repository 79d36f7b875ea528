"""Stablemeter: meters GPU-hours, bills them in stablecoins, and proves that both are the same money."""

from typing import Final

__version__: Final = "0.1.0"
"""Also in pyproject.toml: asking the installed distribution takes longer than printing all help."""
