"""Options that several commands take."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from billing.core.period import Span

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
AnyPeriod = Annotated[
    str, typer.Option("--period", help="A month, like 2026-10; or a span, like 2026-10-05..2026-10-12")
]
Period = Annotated[str, typer.Option("--period", help="A month, like 2026-10")]


def _given(reason: str) -> str:
    """Blanks explain nothing."""
    if not reason.strip():
        raise typer.BadParameter("a reason is needed")
    return reason


Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail")]
Why = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail", callback=_given)]
"""A reason that must be given and say something."""


def span(start: str, end: str) -> "Span":
    """--from and --to as a span; an empty --to is open."""
    from billing.core.period import FOREVER, Span, parse_time

    return Span(parse_time(start), parse_time(end) if end else FOREVER)


def read_file(path: Path) -> str:
    """The text of a file that was named on the command line. Raises Invalid."""
    from billing.core.errors import Invalid

    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError:
        raise Invalid(f"{path} is not UTF-8 text", remedy="save it as UTF-8") from None


def write_file(path: Path, content: Iterable[bytes]) -> None:
    """Write a file that was named on the command line, part by part: all of it, or nothing. Raises Unavailable."""
    from billing.core.errors import Unavailable

    beside = path.with_name(f".{path.name}.part") if path.name else path
    try:
        if path.exists() and not path.is_file():  # a pipe or a terminal takes bytes as they come
            beside = path
        with beside.open("wb") as file:
            file.writelines(content)
        if beside is not path:
            beside.replace(path)
    except BaseException as error:
        if beside is not path:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from None


def read_bytes(path: Path) -> bytes:
    from billing.core.errors import Invalid

    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
