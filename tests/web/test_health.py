"""What monitors ask: does it live, can it work, how is it doing."""

from pathlib import Path

import psycopg

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.tenants.keys import KeyRole
from billing.web.app import create_app
from tests.factories import at
from tests.web.client import Client, application
from tests.web.scene import Scene


def test_it_is_ready_on_a_fresh_database(app: App) -> None:
    anybody = Client(create_app(app))
    assert anybody.json("/healthz") == {"status": "ok"}
    assert anybody.json("/readyz") == {"status": "ready", "reasons": []}
    assert anybody.ask("HEAD", "/readyz").status_code == 200


def reasons(anybody: Client) -> list[str]:
    answer = anybody.get("/readyz")
    assert answer.status_code == 503 and "Retry-After" in answer.headers
    assert answer.headers["Content-Type"] == "application/problem+json"
    found: list[str] = answer.json()["reasons"]
    return found


def test_a_stopped_chain_is_a_reason_by_name_only(scene: Scene) -> None:
    scene.invoiced("acme")
    anybody = scene.client(KeyRole.OPERATOR)
    assert anybody.get("/readyz").status_code == 200
    scene.stop_chain()
    assert reasons(anybody) == ["chain anvil is stopped"]
    assert anybody.get("/healthz").status_code == 200, "the process lives"
    assert 'stablemeter_chain_stopped{chain="anvil"} 1.0' in anybody.get("/metrics").text


def test_another_schema_is_a_reason(app: App, database_url: str) -> None:
    anybody = Client(create_app(app))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
        assert reasons(anybody) == [
            f"the database has schema 0000, this version needs {anybody.api.state.wired.schema}"
        ]
        connection.execute("DROP TABLE alembic_version")
        assert reasons(anybody)[0].startswith("the database has schema none")


def test_a_database_that_does_not_answer_is_a_reason(tmp_path: Path) -> None:
    gone = application("postgresql://nobody@127.0.0.1:1/nothing", tmp_path, ManualClock(at()))
    anybody = Client(create_app(gone))
    assert reasons(anybody) == ["the database does not answer"]
    assert anybody.get("/healthz").status_code == 200
    assert anybody.get("/metrics").status_code == 503
    gone.close()


def test_metrics_show_the_state_of_the_database(scene: Scene) -> None:
    first, _ = scene.invoiced("acme", "beta")
    scene.pay(first, 20_000_000)
    scene.mine(3)
    scene.app.auditor.run(chains=False)
    page = scene.client(KeyRole.OPERATOR).get("/metrics")
    assert page.headers["Content-Type"].startswith("text/plain")
    for line in (
        'stablemeter_invoices{status="paid"} 1.0',
        'stablemeter_invoices{status="open"} 1.0',
        'stablemeter_invoices{status="void"} 0.0',
        'stablemeter_gpus_in_service{source="script"} 2.0',
        f'stablemeter_chain_block{{chain="anvil"}} {float(scene.head)}',
        'stablemeter_chain_block_age_seconds{chain="anvil"} 0.0',
        'stablemeter_source_failing{source="script"} 0.0',
        'stablemeter_source_blind_seconds{source="script"} 0.0',
        "stablemeter_transfers_unsettled 0.0",
        "stablemeter_audit_findings 0.0",
        "stablemeter_exclusions_proposed 0.0",
    ):
        assert line in page.text.splitlines(), line
    assert "stablemeter_source_lag_seconds" in page.text
