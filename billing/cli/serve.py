"""Puts the daemon and the pages together for `stablemeter run`."""

import os
import shutil
import tempfile
from pathlib import Path

from billing.core.errors import Invalid
from billing.settings import Settings

ROLES = ("collector", "invoicer", "watcher", "web")


def serve(settings: Settings, config: Path | None, only: str) -> int:
    """Run until told to stop; the exit code. Raises Invalid for an unknown role."""
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(ROLES)
    unknown = sorted(set(wanted) - set(ROLES))
    if unknown:
        raise Invalid(f"--only names {', '.join(unknown)}", remedy=f"the roles are {', '.join(ROLES)}")
    folder = Path(tempfile.mkdtemp(prefix="stablemeter-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(
        folder
    )  # read when the metrics are first imported, here and in the worker
    try:
        from billing.daemon.run import Daemon
        from billing.daemon.schedule import RoleName
        from billing.db import embedded, migrate
        from billing.db.engine import Database
        from billing.web.app import create_app

        if not settings.database.url.get_secret_value():
            database = Database(embedded.start(settings.data_dir))
            migrate.upgrade(database)
            database.close()
        return Daemon(settings, config, frozenset(RoleName(name) for name in wanted), create_app).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
