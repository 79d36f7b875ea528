"""The archive's journal: what happened to each document. One event a line."""

import json
from dataclasses import dataclass
from enum import StrEnum

from billing.core.errors import Invalid
from billing.core.onchain import Hash32


class Happened(StrEnum):
    """`prepared`: about to be archived. `issued`: its transaction was committed. `left`: it was issued, and a restore
    had to leave it to a person."""

    PREPARED = "prepared"
    ISSUED = "issued"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a document, and when (RFC 3339). Only `prepared` tells the last three: what the document itself
    does not say, and a restore needs. The pay token is a secret between the payer and us; it follows from nothing."""

    happened: Happened
    digest: Hash32
    at: str
    number: str = ""
    index: int | None = None
    pay_token: str = ""


def line(event: Event) -> bytes:
    written: dict[str, object] = {"event": event.happened.value, "at": event.at, "digest": event.digest}
    if event.happened is Happened.PREPARED:
        written |= {"number": event.number, "index": event.index, "pay_token": event.pay_token}
    return json.dumps(written, sort_keys=True).encode() + b"\n"


def parse(content: bytes) -> Event:
    """Raises Invalid for a line that is not the journal's own."""
    try:
        read = json.loads(content)
        return Event(
            Happened(read["event"]),
            Hash32(read["digest"]),
            read["at"],
            read.get("number", ""),
            read.get("index"),
            read.get("pay_token", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"the archive's journal has a line that is not its own: {content[:60]!r}") from error
