"""Stablemeter: meters GPU-hours, bills them in stablecoins, and proves that both are the same money."""


def version() -> str:
    """Of the installed distribution. Looked up when somebody asks: it takes longer than most commands' help."""
    from importlib import metadata

    return metadata.version("stablemeter")
