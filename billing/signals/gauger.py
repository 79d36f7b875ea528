"""Reads every gauge: the state in the database, and the room on the disks."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from billing.core.clock import Clock
from billing.db.engine import Database
from billing.signals import store
from billing.telemetry import metrics


class Gauger:
    """`version` and `schema` are those of this program; `archive` are the directories of the documents."""

    def __init__(self, database: Database, clock: Clock, data: Path, archive: Sequence[Path], version: str) -> None:
        self._database, self._clock, self._version = database, clock, version
        self._data, self._archive = data, tuple(archive)

    def read(self) -> metrics.Values:
        """Every gauge at one moment. Raises Unavailable when the database does not answer."""
        with self._database.transaction() as session:
            found = dict(store.gauges(session, self._clock.now()))
        places = {"data": self._data, **{f"archive {n}": one for n, one in enumerate(self._archive, 1)}}
        room = {name: free for name, one in places.items() if (free := _free(one)) is not None}
        writable = [((name,), int(_is_writable(one))) for name, one in places.items() if name != "data"]
        return {
            **found,
            metrics.DISK_FREE: [((name,), free) for name, free in room.items()],
            metrics.ARCHIVE_WRITABLE: writable,
            metrics.INFO: [((self._version,), 1)],
        }


def _free(directory: Path) -> int | None:
    """Bytes; None where there is no such directory."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def _is_writable(directory: Path) -> bool:
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)
