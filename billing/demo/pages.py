"""Keeps the pages up after the story, and follows the chain, so that an invoice can be paid from a wallet meanwhile."""

import signal
import threading

from rich.console import Console

from billing.access.login import LINK_MINUTES_MAX, Holder
from billing.bootstrap import App
from billing.core.errors import StablemeterError
from billing.daemon.serving import Server
from billing.invoicing import store as invoicing
from billing.tenants.keys import KeyRole
from billing.web.app import create_app

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def pages_up(app: App, pay_token: str, console: Console) -> None:
    """Serve until Ctrl-C."""
    stop = threading.Event()
    follower = threading.Thread(target=_follow, args=(app, stop), name="follower")
    follower.start()
    host, _, port = app.settings.web.listen.rpartition(":")
    url = app.settings.public_url
    text = (
        f"\npages are up at {url}, an invoice is at {url}/pay/{pay_token}\n{_links(app, pay_token)}\nCtrl-C ends it all"
    )
    console.print(text, highlight=False, soft_wrap=True)
    try:
        Server(create_app(app), host=host, port=int(port)).run()
    except SystemExit as ended:  # the server passes the signal on that ended it
        if ended.code not in STOPPED:
            raise
        console.print("stopping")
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        stop.set()
        follower.join()


def _links(app: App, pay_token: str) -> str:
    """Links that sign in, once each: as the tenant of the invoice, and as those who run it all."""
    with app.database.transaction() as session:
        tenant = invoicing.listed(session, invoicing.Filter(pay_token=pay_token))[0].tenant
    people = (
        Holder("Demo", KeyRole.TENANT, tenant=tenant),
        Holder("Demo", KeyRole.FINANCE),
        Holder("Demo", KeyRole.OPERATOR),
    )
    return "\n".join(
        f"sign in as {one.role}: {app.doorkeeper.issue(one, minutes=LINK_MINUTES_MAX, actor='demo')}" for one in people
    )


def _follow(app: App, stop: threading.Event) -> None:
    while not stop.wait(1):
        try:
            for watcher in app.watchers.values():
                watcher.tick()
            app.reconciler.tick()
        except StablemeterError as error:
            if not stop.is_set():
                Console(stderr=True).print(f"the chain cannot be followed: {error}")
