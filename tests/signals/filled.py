"""A world in which every metric has a value."""

from prometheus_client import Histogram
from sqlalchemy import text

from billing.telemetry import metrics
from tests.web.scene import Scene


def filled(scene: Scene) -> None:
    """Something of everything: an invoice that was paid after it was void, an audit, a stored day, a list, a delivery."""
    (invoice,) = scene.invoiced("acme")
    scene.app.issuer.void(invoice.number, reason="x", actor="test")
    scene.pay(invoice, 1)
    (again,) = scene.app.issuer.run(invoice.period, "acme", actor="test")
    scene.pay(again, 1_000_000)
    scene.mine(3)
    scene.app.auditor.run(chains=False)
    assert scene.app.conserver.tick()
    with scene.app.database.transaction() as session:
        for statement in (
            "INSERT INTO sanctions_list (name, digest, addresses, dated, stale_after_days, problem, read_at)"
            " VALUES ('ofac', 'ab', '{}', now(), 7, '', now())",
            "INSERT INTO delivery (notice_id, receiver, state, attempts, due_at, answer)"
            " SELECT min(id), 'books', 'waiting', 1, now(), '' FROM notice",
            "INSERT INTO role (name, epoch, holder, taken_at) VALUES ('watcher', 1, 'test', now())",
        ):
            session.execute(text(statement))


def counted() -> None:
    """Every counter has been counted once, under some label."""
    for one in metrics.COUNTERS:
        series = one.labels(*[f"some {label}" for label in one._labelnames])
        if isinstance(series, Histogram):
            series.observe(1)
        else:
            series.inc()
    metrics.SCRAPES.labels("some source", "failed").inc()
