"""Options that several commands take."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from billing.core.period import Span

FILE_BYTES_MAX: Final = 64 << 20

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


@contextmanager
def about(path: Path, remedy: str = "") -> "Iterator[None]":
    """What is wrong with a file that was named is told with its name."""
    from billing.core.errors import Invalid

    try:
        yield
    except Invalid as error:
        raise Invalid(f"{path.name}: {error}", remedy=remedy) from None


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
    """A file that was named on the command line. A larger one is not read into memory. Raises Invalid."""
    from billing.core.errors import Invalid

    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise Invalid(f"{path} is larger than {FILE_BYTES_MAX >> 20} MiB", remedy="give it in several files")
    return content
