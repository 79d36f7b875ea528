"""Commands of the whole: init, doctor, run, restore, demo."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from billing.cli.context import actor, application, busy, config_path, load_settings, show_json
from billing.cli.options import AsJson


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it")] = Path("stablemeter.toml"),
    show: Annotated[bool, typer.Option("--show", help="Print it instead of writing it")] = False,
) -> None:
    """Write a settings file with every key explained. Never overwrites one."""
    from billing.cli.example import toml
    from billing.core.errors import Conflict, Unavailable

    content = toml()
    if show:
        typer.echo(content, nl=False)
        return
    try:
        with file.open("x") as target:
            target.write(content)
        file.chmod(0o600)
    except FileExistsError:
        raise Conflict(f"{file} exists already", remedy="give another name") from None
    except OSError as error:
        raise Unavailable(f"{file} cannot be written: {error.strerror}") from None
    typer.echo(f"written to {file}; edit it, then run: stablemeter doctor")


def doctor(as_json: AsJson = False) -> None:
    """Check the surroundings: database, sources, chains, wallet, archive, clock. Exit code 1 when something is wrong."""
    from billing.bootstrap import build
    from billing.cli.doctor import examine
    from billing.core.clock import SystemClock

    app = build(load_settings(), SystemClock())
    try:
        checks = examine(app)
    finally:
        app.close()
    if as_json:
        show_json([{"what": c.what, "ok": c.ok, "detail": c.detail} for c in checks])
    else:
        for check in checks:
            typer.echo(f"{'ok   ' if check.ok else 'WRONG'}  {check.what}: {check.detail}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def run(
    only: Annotated[str, typer.Option("--only", help="Some of collector,invoicer,watcher,web")] = "",
) -> None:
    """Run the daemon until it is told to stop (SIGTERM or Ctrl-C)."""
    from billing.cli.serve import serve

    raise typer.Exit(serve(load_settings(), config_path(), only))


def restore(as_json: AsJson = False) -> None:
    """Bring back the invoices and deposit addresses that the archive holds and the database has forgotten; read their chains
    again."""
    with application() as one, busy("reading the archive"):
        found = one.restore(actor=actor())
    if as_json:
        show_json(asdict(found))
        return
    typer.echo(
        f"{len(found.invoices)} invoices and {len(found.credit_notes)} credit notes brought back, "
        f"{len(found.deposits)} deposit addresses as well, "
        f"{len(found.unissued)} addresses that were never shown are watched"
    )
    for line in found.left:
        typer.echo(f"left to you: {line}")


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="Stop after the summary")] = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Keep everything here; default: a temporary folder")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the pages")] = 8480,
    small: Annotated[bool, typer.Option("--small", help="A tenth of the fleet, for a quick look")] = False,
) -> None:
    """Play the main job on embedded parts: meter, invoice, pay, reorganise, reconcile, export. Pages stay up."""
    from billing.demo.play import play

    raise typer.Exit(play(directory=directory, port=port, leave=exit_, small=small))


def add_to(app: typer.Typer) -> None:
    for command in (init, doctor, run, restore, demo):
        app.command()(command)
