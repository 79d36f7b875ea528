"""A lease that a rule forbids is refused by the rule's name; what runs out later is asked about."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from billing.bootstrap import App
from billing.compliance.register import Attestation, KycStatus
from billing.core.clock import ManualClock
from billing.core.errors import Conflict, Invalid
from billing.core.period import FOREVER, Span, month
from billing.fleet import store as inventory
from billing.fleet.gpu import DeviceKey, Sighting
from billing.reconciliation import store as questions
from billing.reports.reporter import Format
from billing.tenants import store as tenants
from billing.tenants.keys import KeyRole
from billing.trail.store import about
from tests.factories import H100, NO_EXCLUSIONS, ScriptedSource, at, collector, second, tenant
from tests.web.client import application, client

OCTOBER = month(2026, 10)
CONTROL = {"name": "hopper", "models": [H100], "attestation": "end-use", "kyc": True, "denied_countries": ["KP"]}


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> Iterator[App]:
    made = application(
        database_url, tmp_path, ManualClock(at(1)), compliance={"controls": [CONTROL], "denied_countries": ["XX"]}
    )
    yield made
    made.close()


@pytest.fixture
def fleet(app: App) -> App:
    """One H100 that is seen; acme is in Australia, nork in a denied country; shop resells to buyer."""
    with app.database.transaction() as session:
        seen = [(second(0), second(1))]
        inventory.register(
            session, "s", [Sighting(u, H100, "n1", "n1:9400", {DeviceKey(u): seen}) for u in ("GPU-1", "GPU-2")]
        )
    for one in (
        tenant("acme", "lease", country="AU", legal_name="Acme Pty Ltd"),
        tenant("nork", "lease", country="KP"),
        tenant("shop", "lease", country="XX"),
        tenant("buyer", "lease", country="AU", reseller="shop"),
    ):
        app.registrar.add(one, [], actor="test")
    return app


def moved(app: App) -> ManualClock:
    assert isinstance(app.clock, ManualClock)
    return app.clock


def ids(app: App, slug: str) -> tuple[int, str]:
    with app.database.transaction() as session:
        return tenants.by_slug(session, slug).id, slug


def clear(app: App, slug: str, expires: date = date(2027, 10, 1)) -> None:
    app.register.decide_kyc(ids(app, slug), KycStatus.VERIFIED, reason="passport seen", actor="officer")
    given = Attestation("end-use", date(2026, 10, 1), expires, "letter 1")
    app.register.attest(ids(app, slug), given, actor="officer")


def let(app: App, slug: str, gpu: str = "GPU-1") -> None:
    app.leaser.add(slug, Span(at(1), FOREVER), uuids=[gpu], reference=f"L-{slug}", actor="ops")


def open_questions(app: App) -> list[tuple[str, str]]:
    with app.database.transaction() as session:
        return [(one["kind"], one["detail"]) for one in questions.exceptions(session)]


def test_without_kyc_and_attestation_a_controlled_gpu_is_not_let(fleet: App) -> None:
    with pytest.raises(
        Conflict, match=r"refused by hopper: the KYC of acme is none, not verified; hopper: acme has no attestation"
    ):
        let(fleet, "acme")
    clear(fleet, "acme")
    let(fleet, "acme")
    fleet.register.decide_kyc(ids(fleet, "acme"), KycStatus.REJECTED, reason="forged", actor="officer")
    with pytest.raises(Conflict, match="the KYC of acme is rejected"):
        fleet.leaser.add("acme", Span(at(1), FOREVER), uuids=["GPU-2"], reference="L2", actor="ops")


def test_a_denied_country_is_refused_also_behind_a_reseller_and_in_a_file(fleet: App) -> None:
    for slug in ("nork", "buyer"):
        clear(fleet, slug)
    with pytest.raises(Conflict, match="refused by hopper: nork is in KP"):
        let(fleet, "nork")
    with pytest.raises(Conflict, match="refused by denied_countries: shop is in XX"):
        let(fleet, "buyer")
    with pytest.raises(Invalid, match="line 2: refused by hopper: nork is in KP"):
        fleet.lease_importer.read(b"tenant,gpu,from\nnork,GPU-1,2026-10-01T01:00:00Z\n", actor="ops")


def test_an_attestation_that_runs_out_while_a_lease_runs_is_a_question_until_there_is_another(fleet: App) -> None:
    clear(fleet, "acme", expires=date(2026, 10, 5))
    let(fleet, "acme")
    assert fleet.control_asker.tick() == 0
    moved(fleet).move_to(at(1, day=5))
    assert (fleet.control_asker.tick(), fleet.control_asker.tick()) == (1, 0), "asked once"
    ((kind, detail),) = open_questions(fleet)
    assert kind == "attestation_expired"
    assert (
        detail
        == f"acme holds {H100} by lease L-acme, against hopper: acme has no attestation end-use valid on 2026-10-05"
    )
    fleet.register.attest(
        ids(fleet, "acme"), Attestation("end-use", date(2026, 10, 5), date(2027, 1, 1), "letter 2"), actor="o"
    )
    assert fleet.control_asker.tick() == 0 and open_questions(fleet) == []
    fleet.register.revoke(ids(fleet, "acme"), "end-use", "letter 2", reason="withdrawn", actor="officer")
    moved(fleet).advance(timedelta(minutes=5))
    assert fleet.control_asker.tick() == 1, "it is against the rule again"


def test_what_is_known_is_never_rewritten_and_each_decision_is_in_the_trail(fleet: App) -> None:
    clear(fleet, "acme")
    with pytest.raises(Conflict, match="letter 1 attests end-use of acme already"):
        fleet.register.attest(
            ids(fleet, "acme"), Attestation("end-use", date(2026, 10, 1), date(2029, 1, 1), "letter 1"), actor="o"
        )
    with pytest.raises(Invalid, match="a reason"):
        fleet.register.decide_kyc(ids(fleet, "acme"), KycStatus.REJECTED, reason=" ", actor="officer")
    with pytest.raises(Invalid, match="nobody can have decided on 2026-10-02 yet"):
        fleet.register.decide_kyc(
            ids(fleet, "acme"), KycStatus.PENDING, on=date(2026, 10, 2), reason="x", actor="officer"
        )
    fleet.register.revoke(ids(fleet, "acme"), "end-use", "letter 1", reason="withdrawn", actor="officer")
    with fleet.database.transaction() as session:
        deeds = [(one.actor, one.action, one.reason) for one in about(session, "tenant acme")][1:]
    assert deeds == [
        ("officer", "compliance.kyc", "passport seen"),
        ("officer", "compliance.attest", ""),
        ("officer", "compliance.revoke", "withdrawn"),
    ]


def test_labels_on_controlled_gpus_are_asked_about_once_a_month_and_reported(database_url: str, tmp_path: Path) -> None:
    app = application(database_url, tmp_path, ManualClock(at(0)), compliance={"controls": [CONTROL]})
    app.registrar.add(tenant("acme", country="AU", legal_name="Acme Pty Ltd"), ["acme"], actor="test")
    source = ScriptedSource(
        {DeviceKey("GPU-1"): [(second(0), second(4), "acme")]}, up=[(second(0), second(6))], interval=3600
    )
    moved(app).move_to(at(8))
    collecting = collector(app.database, moved(app), source, rule=NO_EXCLUSIONS)
    while collecting.tick().windows:
        pass
    assert (app.control_asker.tick(), app.control_asker.tick()) == (1, 0)
    ((kind, detail),) = open_questions(app)
    assert kind == "unattested_use" and "by its label, against hopper: the KYC of acme is none" in detail
    moved(app).move_to(at(9))
    clear(app, "acme")
    made = b"".join(app.reporter.compliance(app.rules, OCTOBER, app.clock.now(), Format.JSON))
    rows = orjson.loads(made)["rows"]
    assert {(one["tenant"], one["basis"], one["allowed"], one["kyc"], one["attestation"]) for one in rows} == {
        ("acme", "observed", "no", "none", "end-use letter 1")
    }
    with app.database.transaction() as session:
        billed = session.execute(
            text("SELECT sum(extract(epoch FROM upper(during) - lower(during)))::bigint FROM usage")
        ).scalar_one()
    assert sum(one["seconds"] for one in rows) == billed > 0
    for file_format in (Format.CSV, Format.XLSX):
        assert len(b"".join(app.reporter.compliance(app.rules, OCTOBER, app.clock.now(), file_format))) > 200
    app.close()


def test_a_lease_is_reported_in_pieces_in_each_of_which_one_answer_holds(fleet: App) -> None:
    clear(fleet, "acme", expires=date(2026, 10, 5))
    let(fleet, "acme")
    moved(fleet).move_to(at(12, day=6))
    made = b"".join(fleet.reporter.compliance(fleet.rules, OCTOBER, fleet.clock.now(), Format.JSON))
    assert [
        (one["from"], one["until"], one["seconds"], one["allowed"], one["legal_name"], one["lease"])
        for one in orjson.loads(made)["rows"]
    ] == [
        ("2026-10-01T01:00:00Z", "2026-10-05T00:00:00Z", 95 * 3600, "yes", "Acme Pty Ltd", "L-acme"),
        ("2026-10-05T00:00:00Z", "2026-10-06T12:00:00Z", 36 * 3600, "no", "Acme Pty Ltd", "L-acme"),
    ]


def test_the_api_records_and_refuses_by_role_and_rule(fleet: App) -> None:
    operator, auditor = client(fleet, KeyRole.OPERATOR), client(fleet, KeyRole.AUDITOR)
    path = "/api/v1/compliance/tenants/acme"
    lease = {"tenant": "acme", "start": "2026-10-01T01:00:00Z", "uuids": ["GPU-1"]}
    refused = operator.post("/api/v1/leases", lease)
    assert refused.status_code == 409 and "refused by hopper" in refused.json()["detail"]
    assert auditor.post(f"{path}/kyc", {"status": "verified", "reason": "seen"}).status_code == 403
    finance = client(fleet, KeyRole.FINANCE)
    assert finance.post(f"{path}/kyc", {"status": "verified", "reason": "seen"}).status_code == 200
    paper = {"kind": "end-use", "granted_on": "2026-10-01", "expires_on": "2027-10-01", "reference": "letter 1"}
    assert operator.post(f"{path}/attestations", paper).status_code == 201
    known = auditor.json(path)
    assert (known["kyc"], known["legal_name"], known["attestations"][0]["valid"]) == ("verified", "Acme Pty Ltd", True)
    assert operator.post("/api/v1/leases", lease).status_code == 201
    wrong = {**paper, "expires_on": "2026-10-01", "reference": "letter 2"}
    assert operator.post(f"{path}/attestations", wrong).status_code in (400, 422)
    gone = operator.post(
        f"{path}/attestations/revoke", {"kind": "end-use", "reference": "letter 1", "reason": "withdrawn"}
    )
    assert gone.status_code == 200 and gone.json()["attestations"][0]["valid"] is False
    assert operator.get("/api/v1/compliance/tenants/nobody").status_code == 404
