"""Events as clients push them."""

import json
from typing import Any

from billing.events.meter import Aggregation, Meter, parse_path

TOKENS = Meter("tokens", "inference", ("tokens",), Aggregation.SUM, "token")
CALLS = Meter("calls", "inference", (), Aggregation.COUNT, "call")
PEAK = Meter("peak", "storage", ("gb",), Aggregation.MAX, "GB")
STORED = Meter("stored", "storage", ("gb",), Aggregation.LATEST, "GB")
METERS = (TOKENS, CALLS, PEAK, STORED)


def event(key: str, data: Any = None, **fields: Any) -> dict[str, Any]:
    """A CloudEvent of tenant acme on the second of October; a field of None is left out."""
    found = {
        "specversion": "1.0",
        "id": key,
        "source": "//gateway",
        "type": "inference",
        "subject": "acme",
        "time": "2026-10-02T00:00:00Z",
        "data": {"tokens": 1} if data is None else data,
        **fields,
    }
    return {name: value for name, value in found.items() if value is not None}


def body(*events: Any) -> bytes:
    return json.dumps(list(events)).encode()


def meter(path: str, aggregation: str = "sum") -> Meter:
    return Meter("m", "inference", parse_path(path), Aggregation(aggregation), "unit")
