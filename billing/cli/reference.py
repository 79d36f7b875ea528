"""Writes what is made from the code: docs/cli.md, docs/settings.md, docs/metrics.md and the example settings (`make docs`)."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from billing.cli.example import markdown as settings_page
from billing.cli.example import toml


def cli_page() -> str:
    """Every command with its arguments and options."""
    from billing.cli.app import app

    lines = [
        "# Commands",
        "",
        "`stablemeter [--config FILE] COMMAND`. Exit codes: 0 done, 1 failed, 2 wrong use. Errors are one line on standard",
        "error. What prints data takes `--json`. This page is made from the code by `make docs`.",
        "",
    ]
    for path, command in walk(typer.main.get_command(app), ()):
        lines += [f"## `stablemeter {' '.join(path)}`", "", str(command.help or "").strip(), ""]
        rows = [row for row in map(_parameter, command.params) if row]
        if rows:
            lines += ["| argument | meaning | default |", "|---|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(names, command) of every command, depth first."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from walk(children[name], (*path, name))


def _parameter(parameter: Any) -> str:
    if parameter.name == "help":
        return ""
    is_option = parameter.param_type_name == "option"
    names = ", ".join(parameter.opts) if is_option else str(parameter.name).upper()
    default = "required" if parameter.required else ""
    if not parameter.required and parameter.default not in (None, "", False, []) and not callable(parameter.default):
        default = f"`{parameter.default}`"
    return f"| `{names}` | {getattr(parameter, 'help', '') or ''} | {default} |"


def metrics_page() -> str:
    """Every metric with its labels."""
    from billing.telemetry import metrics

    lines = [
        "# Metrics",
        "",
        "Served at `/metrics` for Prometheus. Counters are of all processes of one daemon; gauges are read from the database.",
        "This page is made from the code by `make docs`.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for one in metrics.COUNTERS:
        described = next(iter(one.describe()))
        suffix = "_total" if described.type == "counter" else ""
        labels = ", ".join(f"`{label}`" for label in one._labelnames)
        lines.append(f"| `{described.name}{suffix}` | {described.type} | {labels} | {described.documentation} |")
    for gauge in metrics.GAUGES:
        labels = ", ".join(f"`{label}`" for label in gauge.labels)
        lines.append(f"| `{gauge.name}` | gauge | {labels} | {gauge.help} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """{path from the repository's root: content}."""
    return {
        "docs/cli.md": cli_page(),
        "docs/settings.md": settings_page(),
        "docs/metrics.md": metrics_page(),
        "config/stablemeter.example.toml": toml(),
    }


def main() -> None:
    for name, content in pages().items():
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        sys.stdout.write(f"wrote {name}\n")


if __name__ == "__main__":
    main()
