"""What all sections of the settings share."""

import re
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from billing.core.errors import Invalid


class Section(BaseModel):
    """A table of the file: frozen, and an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def web(value: str | list[str]) -> str | list[str]:
    """URLs as they are; the value is not repeated when it is none, because it may hold a key."""
    for one in [value] if isinstance(value, str) else value:
        if one and not re.match(r"https?://[^\s/]", one):
            raise ValueError("is no http:// or https:// URL")
    return value


def as_value_error(parse: Callable[[], object]) -> str:
    """What `parse` returns, in writing; its Invalid becomes a ValueError, as the settings want it."""
    try:
        return str(parse())
    except Invalid as error:
        raise ValueError(str(error)) from None
