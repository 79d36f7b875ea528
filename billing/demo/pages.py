"""Keeps the pages up after the story, and follows the chain, so that an invoice can be paid from a wallet meanwhile."""

import threading

import uvicorn
from rich.console import Console

from billing.bootstrap import App
from billing.core.errors import StablemeterError
from billing.web.app import create_app


def pages_up(app: App, console: Console) -> None:
    """Serve until Ctrl-C."""
    stop = threading.Event()
    follower = threading.Thread(target=_follow, args=(app, stop), name="follower")
    follower.start()
    host, _, port = app.settings.web.listen.rpartition(":")
    console.print(f"\npages are up at {app.settings.public_url}; Ctrl-C ends it all", highlight=False)
    try:
        uvicorn.run(create_app(app), host=host, port=int(port), log_level="warning", access_log=False, lifespan="off")
    finally:
        stop.set()
        follower.join()


def _follow(app: App, stop: threading.Event) -> None:
    while not stop.wait(1):
        try:
            for watcher in app.watchers.values():
                watcher.tick()
            app.reconciler.tick()
        except StablemeterError as error:
            if not stop.is_set():
                Console(stderr=True).print(f"the chain cannot be followed: {error}")
