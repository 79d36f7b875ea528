"""What monitors are told."""

from functools import cached_property

from billing import __version__
from billing.bootstrap.ground import Ground
from billing.signals.gauger import Gauger


class SignalParts(Ground):
    """Gauges of the state."""

    @cached_property
    def gauger(self) -> Gauger:
        settings = self.settings
        return Gauger(self.database, self.clock, settings.data_dir, settings.archive_directories, __version__)
