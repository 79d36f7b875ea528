"""Options that several commands take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from billing.core.period import Span

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
Period = Annotated[str, typer.Option("--period", help="A month, like 2026-10")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail")]


def span(start: str, end: str) -> "Span":
    """--from and --to as a span; an empty --to is open."""
    from billing.core.period import FOREVER, Span, parse_time

    return Span(parse_time(start), parse_time(end) if end else FOREVER)


def read_file(path: Path) -> str:
    """The text of a file that was named on the command line. Raises Invalid."""
    return read_bytes(path).decode(errors="replace")


def read_bytes(path: Path) -> bytes:
    from billing.core.errors import Invalid

    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
