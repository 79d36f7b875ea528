"""What every command shares: the settings file, the application, who acts, and how rows are shown."""

import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

    from billing.bootstrap import App
    from billing.settings import Settings


@dataclass(slots=True)
class Context:
    """Set by the options before the command."""

    config: Path | None = None


_context = Context()


def set_config(config: Path | None) -> None:
    _context.config = config


def config_path() -> Path | None:
    return _context.config


def load_settings() -> "Settings":
    """Read the settings once for this command, and set up logging."""
    from billing import settings as module
    from billing.telemetry import logs

    settings = module.load(_context.config)
    logs.configure(json_lines=settings.logs.format == "json", level=settings.logs.level)
    return settings


@contextmanager
def application(*, schema: bool = True) -> "Iterator[App]":
    """The application for one command. An embedded database is brought up to date by itself; others must be current."""
    from billing.bootstrap import build
    from billing.cli import nearest
    from billing.core.clock import SystemClock
    from billing.core.errors import NotFound
    from billing.db import migrate

    app = build(load_settings(), SystemClock())
    try:
        if schema and not app.settings.database.url.get_secret_value():
            migrate.upgrade(app.database)
        elif schema:
            app.require_current_schema()
        yield app
    except NotFound as error:
        raise nearest.told(error, app) from None
    finally:
        app.close()


def actor() -> str:
    """Who runs the command, for the audit trail."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


def show(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str = "nothing to show"
) -> None:
    """Rows as a table for people, or as JSON with all their fields."""
    if as_json:
        show_json(list(rows))
        return
    if not rows:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = all(isinstance(row.get(column), int) or _is_amount(row.get(column)) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(column)) for column in columns))
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console.width = 400
    console.print(table)


def progress(*columns: "ProgressColumn") -> "Progress":
    """A progress bar on standard error, and none where nobody looks: what is piped holds results alone."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


@contextmanager
def busy(what: str) -> "Iterator[None]":
    """Says on standard error what takes a while and for how long, where somebody is looking; it is gone afterwards."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bar.add_task(what, total=None)
        yield


def show_json(value: Any) -> None:
    """Indented JSON; amounts are text, times RFC 3339."""
    import orjson

    typer.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def say(message: str, as_json: bool, **facts: Any) -> None:
    """What was done: a sentence for people, or the facts of it as JSON."""
    if as_json:
        show_json(facts)
    else:
        typer.echo(message)


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        from billing.core.period import FOREVER, rfc3339

        return "open" if value >= FOREVER else rfc3339(value.replace(microsecond=0))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return str(value)


def _plain(value: Any) -> Any:
    return str(value)


def _is_amount(value: Any) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).lstrip("-").isdigit()
