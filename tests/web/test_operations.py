"""What operators see of the fleet, its sources, chains, leases and prices; and what they may do there."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.core.period import FOREVER, Span
from billing.fleet.gpu import DeviceKey
from billing.tenants.keys import KeyRole
from billing.web.desk import operations
from tests.factories import NO_EXCLUSIONS, OCTOBER, ScriptedSource, at, collector, second, tenant
from tests.web.browser import Browser, browser
from tests.web.scene import Scene
from tests.world import BOOK, World

PAGES = (
    "/operations", "/operations/fleet", "/operations/coverage", "/operations/exclusions", "/operations/chains",
    "/operations/jobs", "/operations/leases", "/operations/prices", "/operations/audit", "/operations/fleet/gpus/1",
    "/operations/fleet/gpus/1?day=2026-10-02", "/operations/leases/1", "/operations/prices/books/1",
)  # fmt: skip
A, B, C = "GPU-aaaaaaaaaaaa", "GPU-bbbbbbbbbbbb", "GPU-cccccccccccc"


@pytest.fixture
def fleet(app: App, clock: ManualClock) -> App:
    """Three days of three GPUs: `A` is let to acme; `B` runs under a label that means nobody; `C` is idle. The exporter is away
    for four hours of the second day, and `A` is gone for two of the third."""
    whole = (0, 10**11, "")
    gone = [(0, second(50), ""), (second(52), 10**11, "")]
    up = [(0, second(30)), (second(34), 10**11)]
    devices = {DeviceKey(A): gone, DeviceKey(B): [(0, 10**11, "ghost")], DeviceKey(C): [whole]}
    collecting = collector(app.database, clock, ScriptedSource(devices, up=up, interval=600), rule=NO_EXCLUSIONS)
    clock.move_to(at(5))
    collecting.tick()
    app.registrar.add(tenant("acme", "lease"), [], actor="test")
    app.leaser.add("acme", Span(OCTOBER, FOREVER), uuids=[A], reference="contract <1>", actor="test")
    app.rater.apply(BOOK, actor="test")
    clock.move_to(at(72.5))
    while collecting.tick().windows:
        pass
    while app.conserver.tick():
        pass
    return app


@pytest.fixture
def operator(fleet: App) -> Browser:
    return browser(fleet, KeyRole.OPERATOR)


def test_every_page_is_shown_to_operators_finance_and_auditors(fleet: App) -> None:
    fleet.auditor.run(chains=False, actor="test")
    for role in (KeyRole.OPERATOR, KeyRole.FINANCE, KeyRole.AUDITOR):
        one = browser(fleet, role)
        for path in PAGES:
            page = one.text(path)
            assert "<h1>" in page and "style=" not in page and "<script" not in page, path
    one = browser(fleet, KeyRole.TENANT, tenant="acme")
    assert {one.get(path).status_code for path in PAGES} == {403}


def test_every_page_is_calm_about_an_empty_system(app: App) -> None:
    one = browser(app, KeyRole.OPERATOR)
    for path in PAGES[:9]:
        assert one.get(path).status_code == 200, path
    for path in PAGES[9:]:
        assert one.get(path).status_code == 404, path


def test_the_overview_says_what_is_wrong_and_leads_to_it(operator: Browser) -> None:
    page = operator.text("/operations")
    assert "1 GPUs of script are held under labels that mean no tenant" in page
    assert "anvil is not followed yet" in page and "No audit has run" in page
    assert "exclusions of let time wait for finance" in page and 'href="/operations/exclusions"' in page


def test_all_is_well_when_it_is(app: App, scene: Scene, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "jobs", list)  # counters are the process's: other tests let jobs fail
    scene.meter("acme", hours=10)
    scene.accept()
    clock.move_to(at(13.5))
    app.auditor.run(chains=False, actor="test")
    with app.database.transaction() as session:
        session.execute(
            text("UPDATE chain_state SET cursor_mined_at = :now, confirmed_moved_at = :now, final_moved_at = :now"),
            {"now": clock.now()},
        )
    page = browser(app, KeyRole.OPERATOR).text("/operations")
    assert "All is well" in page, re.findall(r"<h3>.*", page)


def test_the_heat_map_tells_states_by_letters(operator: Browser) -> None:
    page = operator.text("/operations/fleet?from=2026-10-01&to=2026-10-01")
    for letter, kind, number in (("B", "b", 1), ("U", "u", 2), ("I", "i", 3)):
        assert re.search(
            rf'<a class={kind} href="fleet/gpus/{number}\?day=2026-10-01" title="[^"]*">{letter}</a>', page
        ), page
    page = operator.text("/operations/fleet?from=2026-10-02")
    assert page.count("!</a>") == 2 and "blind 16 %" in page
    assert "gpus/1?" not in operator.text("/operations/fleet?from=2026-10-01&state=unattributed")
    assert "gpus/2?" not in operator.text(f"/operations/fleet?where={A}")
    assert "gpus/1?" in operator.text("/operations/fleet?where=n1&from=&to=&state=")


def test_a_cell_leads_to_the_gpu_and_to_everything_about_its_day(operator: Browser) -> None:
    assert A in operator.text("/operations/fleet/gpus/1") and "2 Oct 2026" in operator.text(
        "/operations/fleet/gpus/1?month=2026-10"
    )
    page = operator.text("/operations/fleet/gpus/1?day=2026-10-02")
    assert "lease contract &lt;1&gt;" in page and "no answer from the exporter" in page and "05:50:07" in page
    page = operator.text("/operations/fleet/gpus/1?day=2026-10-03")
    assert "the exporter answered without this device" in page and "proposed" in page
    assert "ghost" in operator.text("/operations/fleet/gpus/2?day=2026-10-01")
    assert "Nothing was read of this day" in operator.text("/operations/fleet/gpus/1?day=2020-01-01")


def test_coverage_shows_gaps_with_their_cause_and_labels_with_what_to_type(operator: Browser) -> None:
    page = operator.text("/operations/coverage?source=script")
    assert "0 s blind, 3600 s missing" in page and "stablemeter tenant add ghost" in page
    assert "No gaps in these days" in operator.text("/operations/coverage?from=2026-09-01&to=2026-09-02")


def test_finance_decides_on_an_exclusion_and_nobody_else(fleet: App, operator: Browser) -> None:
    listed = operator.text("/operations/exclusions")
    found = re.search(r'href="/operations/exclusions/(\d+)"', listed)
    assert found is not None, listed
    path = f"/operations/exclusions/{found.group(1)}"
    assert "Finance decides" in operator.text(path)
    assert operator.post(path, {"decision": "accept", "reason": "x"}).status_code == 403
    finance = browser(fleet, KeyRole.FINANCE)
    finance.text(path)
    assert finance.post(path, {"decision": "accept", "reason": ""}).status_code == 400
    assert finance.post(path, {"decision": "perhaps", "reason": "x"}).status_code == 400
    answer = finance.post(path, {"decision": "accept", "reason": "it was in repair"})
    assert answer.status_code == 303
    assert "accepted, the time is not billed" in finance.text("/operations/exclusions")
    assert "it was in repair" in finance.text(re.sub(r".*href=\"(/operations/exclusions/\d+)\".*", r"\1",
        finance.text("/operations/exclusions?state=accepted"), flags=re.DOTALL))  # fmt: skip
    assert finance.get(path).status_code == 404
    assert finance.get("/operations/exclusions?state=odd").status_code == 400


def test_an_operator_lets_gpus_and_ends_a_lease(fleet: App, operator: Browser, clock: ManualClock) -> None:
    assert "Let them" in operator.text("/operations/leases/new")
    fields = {"tenant": "acme", "from": "2026-10-03T00:00:00Z", "gpus": f"{B}\r\n {C} ,{B}", "reference": "two"}
    assert operator.post("/operations/leases/new", fields).status_code == 303
    page = operator.text("/operations/leases?reference=two")
    assert "Lease two: 2 GPUs are let to acme" in page and "running" in page
    number = re.findall(r'href="/operations/leases/(\d+)"', page)[0]
    assert B in operator.text(f"/operations/leases/{number}")
    end = f"/operations/leases/{number}/end"
    assert operator.post(end, {"at": "2026-10-03T12:00:00Z", "reason": ""}).status_code == 400
    assert operator.post(end, {"at": "2026-10-03T12:00:00Z", "reason": "moved out"}).status_code == 303
    page = operator.text(f"/operations/leases/{number}")
    assert "3 Oct 2026, 12:00 UTC" in page and "moved out" in page and "lease.end" in page
    assert "two" in operator.text("/operations/leases?state=ended")
    assert "two" not in operator.text("/operations/leases?state=running")
    assert f'href="/operations/leases/{number}"' not in operator.text(f"/operations/leases?where={A}")
    assert browser(fleet, KeyRole.FINANCE).get("/operations/leases/new").status_code == 403


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"tenant": "nobody", "from": "2026-10-01", "gpus": C}, 404),
        ({"tenant": "acme", "from": "yesterday", "gpus": C}, 400),
        ({"tenant": "acme", "from": "2026-10-05", "to": "2026-10-04", "gpus": C}, 400),
        ({"tenant": "acme", "from": "2026-10-01", "gpus": A}, 409),
        ({"tenant": "acme", "from": "2026-10-01", "hosts": "unknown"}, 404),
        ({"tenant": "acme", "from": "2026-10-01"}, 400),
        ({"tenant": "", "from": "2026-10-01", "gpus": C}, 400),
    ],
)  # fmt: skip
def test_a_lease_that_cannot_be_is_refused_in_words(operator: Browser, fields: dict[str, str], status: int) -> None:
    operator.get("/operations/leases/new")
    answer = operator.post("/operations/leases/new", fields)
    assert answer.status_code == status and 'class="reason"' in answer.text


def test_a_price_book_is_checked_and_two_are_compared(fleet: App, operator: Browser, clock: ManualClock) -> None:
    operator.get("/operations/prices/check")
    dearer = BOOK.replace('"2.00"', '"2.50"')
    page = operator.post("/operations/prices/check", {"book": dearer.replace("\n", "\r\n") + "\t"}).text
    assert "The book is sound" in page and "2 per hour" in page and "2.50 per hour" in page and "acme" in page
    assert "2 per hour" in operator.text("/operations/prices") and "2.50" not in operator.text("/operations/prices")
    for book, words in (("currency = 5", "price book is wrong"), ("{{", "no TOML"), ("", "Book is needed")):
        answer = operator.post("/operations/prices/check", {"book": book})
        assert answer.status_code == 400 and words in answer.text
    fleet.rater.apply(dearer.replace("NVIDIA H100", "H100 <SXM>", 1), actor="test")
    page = operator.text("/operations/prices")
    link = re.findall(r'href="(/operations/prices/diff[^"]+)"', page)[0].replace("&amp;", "&")
    page = operator.text(link)
    assert "2.00 per hour" in page and "2.50 per hour" in page and "H100 &lt;SXM&gt;" in page
    assert "what it changed" in operator.text("/operations/prices")
    assert browser(fleet, KeyRole.AUDITOR).get("/operations/prices/check").status_code == 403


def test_the_audit_lists_findings_and_leads_to_gpus(fleet: App, operator: Browser) -> None:
    fleet.auditor.run(chains=False, actor="test")
    assert "found nothing wrong" in operator.text("/operations/audit")
    with fleet.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO trail (at, actor, action, subject, reason, details) VALUES (:at, 'test', 'audit', 'audit', '',"
                " json_build_object('checked', 2, 'skipped', '[]'::json, 'count', 1, 'findings', json_build_array(CAST(:one AS text))))"
            ),
            {"at": at(73), "one": f"every GPU-second is accounted for: GPU {A} on n1: 7 slot-seconds are off"},
        )
    page = operator.text("/operations/audit")
    assert "7 slot-seconds are off" in page and f'href="/operations/fleet?where={A}"' in page
    assert "The audit has 1 findings" in operator.text("/operations")


def test_chains_are_shown_with_what_is_watched_and_what_stopped(app: App, scene: Scene) -> None:
    scene.invoiced("acme")
    scene.mine(12)
    one = browser(app, KeyRole.OPERATOR)
    page = one.text("/operations/chains")
    assert "anvil" in page and "112" in page and "in use" in page and "http://127.0.0.1:1" in page
    answer = one.post("/operations/chains/31337/ask")
    assert answer.status_code == 200 and "No endpoint answers" in answer.text
    assert one.post("/operations/chains/5/ask").status_code == 404
    scene.stop_chain()
    assert "It waits for a person" in one.text("/operations/chains")
    assert "anvil is stopped" in one.text("/operations")
    auditor = browser(app, KeyRole.AUDITOR)
    auditor.get("/operations/chains")
    assert auditor.post("/operations/chains/31337/ask").status_code == 403


def test_endpoints_are_asked_for_their_head_and_for_our_newest_block(made: World) -> None:
    made.app.check_chain(31337)
    made.follow()
    made.node.mine(5)
    one = browser(made.app, KeyRole.OPERATOR)
    one.get("/operations/chains")
    page = one.post("/operations/chains/31337/ask").text
    assert "5 blocks behind the highest head" in page and "the same" in page


def test_notices_that_were_given_up_are_told(fleet: App, operator: Browser) -> None:
    with fleet.database.transaction() as session:
        session.execute(
            text(
                "WITH n AS (INSERT INTO notice (message_id, type, subject, content, created_at)"
                " VALUES ('m', 'test', 's', '', :at) RETURNING id) INSERT INTO delivery (notice_id, receiver, state, attempts,"
                " due_at, answer) SELECT id, 'crm', 'dead', 9, :at, 'no answer' FROM n"
            ),
            {"at": at(1)},
        )
    assert "1 notices to crm were given up" in operator.text("/operations")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/operations/fleet?from=yesterday", 400),
        ("/operations/fleet?from=2026-10-05&to=2026-10-01", 400),
        ("/operations/fleet?from=2020-01-01&to=2026-10-01", 400),
        ("/operations/fleet?from=2026-13-41", 400),
        ("/operations/fleet?state=wonderful", 400),
        ("/operations/fleet?colour=red", 422),
        ("/operations/fleet/gpus/0", 422),
        ("/operations/fleet/gpus/x", 422),
        ("/operations/fleet/gpus/99", 404),
        ("/operations/fleet/gpus/1?month=2026", 400),
        ("/operations/fleet/gpus/1?day=1", 400),
        ("/operations/coverage?cursor=abc", 400),
        ("/operations/leases?state=lost", 400),
        ("/operations/leases/9999", 404),
        ("/operations/exclusions/9999", 404),
        ("/operations/prices/diff?before=1&after=77", 404),
        ("/operations/prices/diff?before=1", 422),
        ("/operations/prices/books/77", 404),
        ("/operations/audit?run=99999", 404),
    ],
)
def test_what_cannot_be_is_a_page_in_words(one_operator: Browser, path: str, status: int) -> None:
    answer = one_operator.get(path)
    assert answer.status_code == status and "<h1>" in answer.text and "Traceback" not in answer.text


@pytest.fixture
def one_operator(app: App) -> Browser:
    with app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO gpu (uuid, model, host, instance, source, in_service, last_seen_at)"
                " VALUES ('GPU-1', 'm', 'h', 'h', 's', tstzrange(:at, '9999-01-01Z'), :at)"
            ),
            {"at": at()},
        )
    app.rater.apply(BOOK, actor="test")
    return browser(app, KeyRole.OPERATOR)


def test_a_fleet_of_2400_gpus_is_one_small_page(app: App) -> None:
    with app.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO gpu (uuid, model, host, instance, source, in_service, last_seen_at)"
                " SELECT 'GPU-' || md5(n::text), 'm', 'node-' || lpad((n / 8)::text, 3, '0'), 'h', 'site-' || n / 800,"
                " tstzrange(:at, '9999-01-01Z'), :at FROM generate_series(0, 2399) AS n"
            ),
            {"at": at()},
        )
        session.execute(
            text(
                "INSERT INTO gpu_day (day, gpu_id, host, source, whole, billed, excluded, disputed, idle, unattributed, missing,"
                " blind, unread) SELECT :at, id, host, source, 72576000, 50000000, 0, 0, 20000000, 0, 0, 2576000, 0 FROM gpu"
            ),
            {"at": at()},
        )
    page = browser(app, KeyRole.OPERATOR).text("/operations/fleet")
    assert page.count("!</a>") == 2400 and "2,400 GPUs on 300 servers" in page
    assert len(page) < 300_000


def test_lists_go_on_to_the_next_page(fleet: App, operator: Browser, clock: ManualClock) -> None:
    for n in range(55):
        span = Span(at(n), at(n + 1) + timedelta())
        fleet.leaser.add("acme", span, uuids=[C], reference=f"hour-{n:02}", actor="test")
    page = operator.text("/operations/leases")
    assert "hour-54" in page and "hour-02" not in page
    follow = re.findall(r'rel="next" href="([^"]+)"', page)[0]
    page = operator.text("/operations/leases" + follow)
    assert "hour-02" in page and "contract &lt;1&gt;" in page and "hour-54" not in page
