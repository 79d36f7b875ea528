"""Who may open the pages."""

from functools import cached_property

from billing.access.doorkeeper import Doorkeeper
from billing.bootstrap.ground import Ground


class AccessParts(Ground):
    """Links and sessions."""

    @cached_property
    def doorkeeper(self) -> Doorkeeper:
        return Doorkeeper(self.database, self.clock, self.settings.public_url)
