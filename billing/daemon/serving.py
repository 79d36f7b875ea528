"""uvicorn as the daemon and the demo use it: what streams is told to end before the server waits for its connections."""

import socket
from typing import Any, Final

import uvicorn

GRACE_SECONDS: Final = 5


class Server(uvicorn.Server):
    """Serves an ASGI application; `state.ending` of it, if it has one, is called when the server stops."""

    def __init__(self, web: Any, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "log_level": "warning",
            "access_log": False,
            "server_header": False,
            "lifespan": "off",
        }
        super().__init__(uvicorn.Config(web, timeout_graceful_shutdown=GRACE_SECONDS, **{**defaults, **options}))
        self._ending = getattr(getattr(web, "state", None), "ending", None)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._ending is not None:
            self._ending()
        await super().shutdown(sockets=sockets)
