"""The one error tree. The class says whose fault it is; the message names the thing and the remedy, on one line."""


class StablemeterError(Exception):
    """Base of every error that is expected to happen in operation. Anything else that is raised is a bug."""

    exit_code = 1

    def __init__(self, what: str, *, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}; {remedy}" if remedy else what)


class Invalid(StablemeterError):
    """The caller gave something that cannot be right: bad input, a bad setting, a malformed file."""

    exit_code = 2


class NotFound(StablemeterError):
    """The thing that the caller named does not exist."""


class Conflict(StablemeterError):
    """The request was well formed, but the present state forbids it."""


class Unavailable(StablemeterError):
    """A remote part (database, RPC, exporter, disk) did not answer. Trying again later may help."""


class Untrusted(StablemeterError):
    """A remote part said something impossible. Its answer was not used."""
