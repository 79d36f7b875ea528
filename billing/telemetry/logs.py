"""Logs: one event a line, JSON or for people, to standard error. Keys that name secrets are masked."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_SECRET_NAMES: Final = re.compile(r"(secret|token|password|authorization|api_key|xpub|database_url)", re.IGNORECASE)
_SECRET_VALUES: Final = re.compile(r"smk_[0-9a-f]{8}_[\w-]{20,}|[xtyz]prv[0-9A-Za-z]{20,}|://[^/\s:@]+:[^/\s@]+@")


def configure(*, json_lines: bool, level: str) -> None:
    """Set up logging for this process; libraries' records go the same way."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    renderer: Any = (
        structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    if json_lines:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        level=max(threshold, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s"
    )


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask values under secret names, and what looks like a secret anywhere."""
    for key, value in event.items():
        if _SECRET_NAMES.search(key):
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = _SECRET_VALUES.sub("***", value)
    return event


def logger(name: str) -> Any:
    return structlog.get_logger(component=name)
