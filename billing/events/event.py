"""One CloudEvent, and batches of them, from the bytes that were pushed. Pure.

The envelope is checked here. `data` is not looked into, but for the one rule that no number in it loses a digit: numbers
are read as text, never as floats. A body is understood in one way only: no key twice, no lone surrogate, no NUL.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from billing.core.errors import Invalid

EVENTS_MAX: Final = 1_000
"""Events in one batch."""
EVENT_BYTES_MAX: Final = 64 << 10
AHEAD_MAX: Final = timedelta(days=1)
"""How far ahead of this machine's clock an event may be."""
BEHIND_MAX: Final = timedelta(days=366)
"""How old an event may be: an older one would open periods long closed."""
DEPTH_MAX: Final = 64
"""Objects and lists inside each other, the event included."""
DIGITS_MAX: Final = 100
"""Of one number, anywhere in an event; with its exponent written out."""
TEXT_MAX: Final[dict[str, int]] = {"source": 400, "id": 200, "type": 200, "subject": 253}
"""Characters of each attribute; an index row must have room for source and id together."""

_LIMITS: Final = tuple(TEXT_MAX.items())
_TEES: Final = ("T", "t")
_JSON_TYPE: Final = re.compile(r"[a-z]+/(?:[a-z0-9.+-]*\+)?json", re.IGNORECASE)
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_TOO_DEEP: Final = f"it is nested too deeply, more than {DEPTH_MAX} objects and lists inside each other"
_SPACE: Final = re.compile(r"[ \t\n\r]*")


class Form(StrEnum):
    """What a body holds, as its content type says."""

    SINGLE = "application/cloudevents+json"
    BATCH = "application/cloudevents-batch+json"
    EITHER = "application/json"


class Event(NamedTuple):
    """An event. `time` is None when the sender left it to the receiver."""

    source: str
    id: str
    type: str
    subject: str
    time: datetime | None
    data: Any


class Batch(NamedTuple):
    """Events in their order, and the same as the text of one JSON array, every digit as it was sent."""

    events: list[Event]
    text: str


def decode(body: bytes, form: Form, now: datetime) -> Batch:
    """Read a body. Raises Invalid that names the event and what is wrong with it."""
    text = _checked(body)
    single = text.lstrip(" \t\n\r").startswith("{")
    if (single and form is Form.BATCH) or (not single and form is Form.SINGLE):
        raise Invalid(f"the body is no {'batch' if single else 'single event'}, but the content type says so")
    text = f"[{text}]" if single else text
    events = [_event(number, raw, size, now) for number, (raw, size) in enumerate(_elements(text), 1)]
    return Batch(events, text)


def _checked(body: bytes) -> str:
    """The body's text, once a strict reader has accepted it. That one bounds the depth; the next one recurses."""
    try:
        orjson.loads(body)
        text = body.decode("utf-8")
    except ValueError as error:  # orjson's error and the codec's are ValueErrors
        what = "UTF-8" if isinstance(error, UnicodeDecodeError) else "JSON"
        raise Invalid(f"the body is no {what}: {str(error).partition(':')[0][:100]}") from None
    if not text.lstrip(" \t\n\r").startswith(("{", "[")):
        raise Invalid("the body is neither an event nor a list of events")
    if "\\u0000" in text and _NUL.search(text):
        raise Invalid("the body holds a NUL", remedy="leave \\u0000 out")
    return text


def _elements(text: str) -> Iterator[tuple[Any, int]]:
    """Each element of a list with the bytes that it takes. The list was found to be well formed."""
    at = _SPACE.match(text, _SPACE.match(text, 0).end() + 1).end()  # type: ignore[union-attr]
    is_ascii = text.isascii()
    count = 0
    while text[at] != "]":
        if (count := count + 1) > EVENTS_MAX:
            raise Invalid(f"a batch has at most {EVENTS_MAX} events", remedy="send several batches")
        try:
            found, end = _DECODER.raw_decode(text, at)
            if text.count("[", at, end) + text.count("{", at, end) > DEPTH_MAX:
                _require_flat(found)
        except Invalid as error:
            raise Invalid(f"event {count}: {error.what}", remedy=error.remedy) from None
        except RecursionError:
            raise Invalid(f"event {count}: {_TOO_DEEP}") from None
        yield found, (end - at if is_ascii else len(text[at:end].encode()))
        at = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        if text[at] == ",":
            at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]


def _require_flat(found: Any) -> None:
    level, depth = [found], 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        if (depth := depth + 1) > DEPTH_MAX:
            raise Invalid(_TOO_DEEP)
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise Invalid("a key is there twice")
    return keys


def _whole(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise Invalid(f"a number has more than {DIGITS_MAX} digits")
    return int(text)


def _fraction(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise Invalid(f"the number {text[:40]} is out of range") from None
    if len(text) > DIGITS_MAX or not -DIGITS_MAX < found.adjusted() < DIGITS_MAX:
        raise Invalid(f"the number {text[:40]} has more than {DIGITS_MAX} digits")
    return found


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_once, parse_int=_whole, parse_float=_fraction)


def _event(number: int, raw: Any, size: int, now: datetime) -> Event:
    try:
        return _read(raw, size, now)
    except Invalid as error:
        raise Invalid(f"event {number}: {error.what}", remedy=error.remedy) from None


def _read(raw: Any, size: int, now: datetime) -> Event:
    if size > EVENT_BYTES_MAX:
        raise Invalid(f"an event has at most {EVENT_BYTES_MAX} bytes, this one {size}")
    if type(raw) is not dict:
        raise Invalid("it is no object")
    if raw.get("specversion") != "1.0":
        raise Invalid('specversion must be "1.0"')
    for name, most in _LIMITS:
        found = raw.get(name)
        if type(found) is not str or not found:
            raise Invalid(f"{name} is missing, or no text")
        if len(found) > most or not found.isprintable():
            raise Invalid(f"{name} must be at most {most} printable characters")
    if raw.get("data_base64") is not None:
        raise Invalid("data_base64 cannot be metered", remedy="send JSON in data")
    media = raw.get("datacontenttype")
    if media not in (None, "application/json") and not (
        type(media) is str and _JSON_TYPE.fullmatch(media.partition(";")[0].strip(" "))
    ):
        raise Invalid("datacontenttype is not JSON")
    at = raw.get("time")
    time = None if at is None else _time(at, now)
    return Event(raw["source"], raw["id"], raw["type"], raw["subject"], time, raw.get("data"))


def _time(text: Any, now: datetime) -> datetime:
    """Digits behind the microsecond are cut off: rounding could carry an event into the next month."""
    try:
        at = datetime.fromisoformat(text.upper()) if type(text) is str and text[10:11] in _TEES else None
        at = at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise Invalid("time is no RFC 3339 time", remedy="write it like 2026-10-01T00:00:00Z")
    if at > now + AHEAD_MAX:
        raise Invalid(f"time is more than {AHEAD_MAX.days} day in the future", remedy="check the sender's clock")
    if at < now - BEHIND_MAX:
        raise Invalid(f"time is more than {BEHIND_MAX.days} days in the past")
    return at
