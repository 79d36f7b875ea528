"""What a page's form sends: text fields, read with limits. Files are not taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from billing.core.errors import Invalid

BYTES_MAX: Final = 64 << 10
FIELDS_MAX: Final = 200
TOKEN_FIELD: Final = "form_token"  # noqa: S105 (the field's name)
ONCE_FIELD: Final = "once"
SAFE: Final = ("GET", "HEAD")
MEDIA_TYPE: Final = "application/x-www-form-urlencoded"

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields that were sent, in their order; none for a request that changes nothing."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def text(self, name: str, *, most: int = 200, needed: bool = False, lines: bool = False) -> str:
        """One field, without blanks around it; empty if it was not sent. Raises Invalid for what is too long, cannot be printed,
        or is needed and not there."""
        found = (self.fields.get(name) or [""])[0].replace("\r\n", "\n").strip()
        called = name.replace("_", " ")
        if needed and not found:
            raise Invalid(f"{called} is needed")
        if len(found) > most:
            raise Invalid(f"{called} may have {most} characters")
        if not (found.replace("\n", "") if lines else found).isprintable():
            raise Invalid(f"{called} holds characters that cannot be printed")
        return found

    def many(self, name: str, *, most: int = FIELDS_MAX) -> list[str]:
        """All values of boxes that were ticked."""
        found = list(self.fields.get(name, ()))
        if len(found) > most or not all(one.isprintable() and len(one) <= 200 for one in found):
            raise Invalid(f"{name.replace('_', ' ')} is not as it should be")
        return found

    def ticked(self, name: str) -> bool:
        return name in self.fields

    def read(self, model: type[M]) -> M:
        """All fields as one of the API's bodies. Empty fields count as left out. Raises Invalid for the first mistake."""
        sent = {
            name: values[0].strip() for name, values in self.fields.items() if name not in (TOKEN_FIELD, ONCE_FIELD)
        }
        try:
            return model.model_validate({name: value for name, value in sent.items() if value})
        except ValidationError as error:
            one = error.errors()[0]
            called = " ".join(map(str, one["loc"])).replace("_", " ")
            raise Invalid(f"{called}: {str(one['msg']).removeprefix('Value error, ')}") from None


async def _read(request: Request) -> Form:
    if request.method in SAFE:
        return Form()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a page takes what its own form sends")
    body = await request.body()
    if len(body) > BYTES_MAX:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a form may have {BYTES_MAX} bytes")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, encoding="utf-8", errors="strict"
        )
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form cannot be read") from None
    if any("\0" in part for pair in pairs for part in pair):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form holds a NUL")
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return Form(fields)


Posted = Annotated[Form, Depends(_read)]
