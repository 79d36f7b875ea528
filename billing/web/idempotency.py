"""Writes that may be repeated. A write and the answer to it are one transaction: after a crash there are both or neither,
so a repeated request is either answered as before, or done for the first time.

Only answers of writes that succeeded are kept. A write that was refused changed nothing, so it is tried anew.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import Header, Response
from pydantic import BaseModel

from billing.core.errors import Conflict
from billing.db.engine import Database, Session
from billing.web import store
from billing.web.auth import Caller
from billing.web.deps import Wired

KEPT_FOR: Final = timedelta(days=30)

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The same key and the same request again, within 30 days: the same answer again, nothing done twice",
    ),
]


class Joined(Database):
    """The one transaction that is open, for use cases that would open their own: what they do commits with the answer."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @contextmanager
    def transaction(self, *, trial: bool = False) -> Iterator[Session]:
        if not trial:
            yield self._session
            return
        with self._session.begin_nested() as begun:
            yield self._session
            begun.rollback()


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, as far as it tells two requests apart."""

    method: str
    path: str
    body: BaseModel
    makes: str = ""
    """The path of what the request makes; told again with every answer."""

    def digest(self) -> str:
        return hashlib.sha256(f"{self.method} {self.path}\n{self.body.model_dump_json()}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: BaseModel


def once(
    web: Wired, caller: Caller, key: str | None, request: Request, write: Callable[[Joined, Session], Answer]
) -> Response:
    """Do a write and answer it; or answer it as before. A second request with the same key waits for the first.

    Raises Conflict when the key was used for another request.
    """
    location = {"Location": request.makes} if request.makes else {}
    with web.database.transaction() as session:
        if key is not None:
            digest = request.digest()
            before = store.reserve(session, caller.key, key, digest, web.clock.now())
            if before is not None and before.request_digest != digest:
                raise Conflict("this Idempotency-Key was used for another request")
            if before is not None:
                return _response(before.status, before.body, {**location, "Idempotent-Replayed": "true"})
        answer = write(Joined(session), session)
        body = answer.body.model_dump_json(by_alias=True)
        if key is not None:
            store.keep_answer(session, caller.key, key, answer.status, body)
            store.forget_answers(session, web.clock.now() - KEPT_FOR)
    return _response(answer.status, body, location)


def _response(status: int, body: str, headers: dict[str, str]) -> Response:
    return Response(body, status, headers, "application/json")
