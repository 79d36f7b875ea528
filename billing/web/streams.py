"""Open invoice pages that want to hear when something changes. Whatever their number, the database is asked once a second for
all of them together, in one short transaction, and not at all while nobody listens: a stream that waits holds nothing but
its connection."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.concurrency import run_in_threadpool

from billing.core.errors import StablemeterError
from billing.telemetry.logs import logger
from billing.web.limits import network

STREAMS_MAX: Final = 500
STREAMS_MAX_OF_CALLER: Final = 20
"""Who is refused asks from time to time instead. Callers from this machine are not told apart, as with requests."""

LOOK_SECONDS: Final = 1.0
ALIVE_SECONDS: Final = 15.0
"""A word so often, so that whoever stands between does not take the connection for dead."""
STREAM_SECONDS_MAX: Final = 600.0
"""Then the browser comes again by itself."""

Look = Callable[[Collection[str]], Mapping[str, str]]
"""{pay token: version of its page} for those that exist. Called in a thread."""


@dataclass(eq=False, slots=True)
class _Listener:
    token: str
    caller: str | None
    version: str
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Streams:
    """Belongs to one event loop."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._listeners: set[_Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def admits(self, address: str) -> bool:
        """Is there room for one more from there?"""
        callers = Counter(one.caller for one in self._listeners)
        caller = network(address)
        return (
            not self._closed
            and len(self._listeners) < STREAMS_MAX
            and (caller is None or callers[caller] < STREAMS_MAX_OF_CALLER)
        )

    async def follow(self, token: str, address: str, since: str) -> AsyncGenerator[bytes, None]:
        """An event with the page's version whenever it is another one than `since`, or than the last that was told."""
        loop, listener = asyncio.get_running_loop(), _Listener(token, network(address), since)
        self._listeners.add(listener)
        if self._looking is None:
            self._looking = loop.create_task(self._keep_looking())
        until = loop.time() + STREAM_SECONDS_MAX
        try:
            yield b"retry: 2000\n\n"
            while not self._closed and loop.time() < until:
                try:
                    await asyncio.wait_for(listener.news.wait(), ALIVE_SECONDS)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                listener.news.clear()
                if not self._closed:
                    yield f"data: {listener.version}\n\n".encode()
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Ends every stream, so that a server that stops need not wait for them."""
        self._closed = True
        for one in self._listeners:
            one.news.set()

    async def _keep_looking(self) -> None:
        while self._listeners and not self._closed:
            versions = await self._found()
            for one in self._listeners:
                version = versions.get(one.token, one.version)
                if version != one.version:
                    one.version = version
                    one.news.set()
            await asyncio.sleep(LOOK_SECONDS)
        self._looking = None

    async def _found(self) -> Mapping[str, str]:
        try:
            return await run_in_threadpool(self._look, {one.token for one in self._listeners})
        except StablemeterError as error:
            logger("web").warning("open pages cannot be told of changes", error=str(error))
            return {}
