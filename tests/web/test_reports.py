"""Reports and closes over HTTP: files with their type and name, and of a closed month the bytes that were made then."""

import csv
import hashlib
import io
import shutil
import threading
from base64 import b64encode
from collections.abc import Iterator

import pytest
from openpyxl import load_workbook

from billing.core.period import month
from billing.reports.reporter import Format
from billing.tenants.keys import KeyRole
from billing.web import files
from tests.web.client import Client
from tests.web.scene import Scene

USED, BOOKED = month(2026, 10), month(2026, 11)
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "beancount": "text/plain; charset=utf-8",
}


@pytest.fixture
def paid(scene: Scene) -> Scene:
    """Two invoices of October, one of them paid; the chain stands past the end of November."""
    acme, _ = scene.invoiced("acme", "beta", name='Nice, "Co"')
    scene.pay(acme, 20_000_000)
    scene.mine(3)
    scene.over(BOOKED)
    return scene


def close(one: Client, period: str = "2026-11", **headers: str) -> tuple[int, str]:
    answer = one.post("/api/v1/closes", {"period": period}, headers=headers)
    return answer.status_code, answer.json().get("detail", "")


def test_every_report_comes_in_every_format_with_its_type_name_and_digest(paid: Scene) -> None:
    one = paid.client(KeyRole.AUDITOR)
    for report in ("reconciliation", "journal", "aging", "usage"):
        for ending in Format:
            answer = one.get(f"/api/v1/reports/{report}?period=2026-11&format={ending}")
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, TYPES[ending]), answer.text
            assert answer.headers["Content-Disposition"] == f'attachment; filename="{report}-2026-11.{ending}"'
            digest = hashlib.sha256(answer.content)
            assert answer.headers["Repr-Digest"] == f"sha-256=:{b64encode(digest.digest()).decode()}:"
            assert int(answer.headers["Content-Length"]) == len(answer.content) > 0
            if ending == "xlsx":
                assert report in load_workbook(io.BytesIO(answer.content)).sheetnames
    journal = one.get("/api/v1/reports/journal?period=2026-11&format=beancount")
    assert journal.headers["Content-Type"] == TYPES["beancount"] and "2026-11-01 open" in journal.text
    again = one.get(
        "/api/v1/reports/journal?period=2026-11&format=beancount", headers={"If-None-Match": journal.headers["ETag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


def test_what_is_asked_wrongly_is_told_and_nothing_is_made(paid: Scene) -> None:
    one = paid.client(KeyRole.FINANCE)
    for query, status in (
        ("usage?period=2026-13", 400),
        ("usage?period=October", 400),
        ("usage?period=2026-10&format=pdf", 422),
        ("usage?period=2026-10&format=beancount", 400),
        ("usage?period=2026-10&tenant=acme", 422),
        ("usage", 422),
        ("nonsense?period=2026-10", 422),
        ("statement?period=2026-10", 400),
        ("statement?period=2026-10&tenant=nobody", 404),
        ("statement?period=2026-10&tenant=acme&format=beancount", 400),
    ):
        answer = one.get(f"/api/v1/reports/{query}")
        assert answer.status_code == status, (query, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_usage_of_a_running_month_has_no_amounts_yet(scene: Scene) -> None:
    scene.meter("acme")
    rows = scene.client(KeyRole.FINANCE).json("/api/v1/reports/usage?period=2026-10&format=json")["rows"]
    assert [(row["tenant"], row["seconds"], row["amount"], row["invoice"]) for row in rows] == [
        ("acme", 36_000, "", "")
    ]


def test_a_closed_month_gives_the_bytes_that_were_made_then_wherever_one_asks(paid: Scene) -> None:
    finance, auditor = paid.client(KeyRole.FINANCE), paid.client(KeyRole.AUDITOR)
    answer = finance.post("/api/v1/closes", {"period": "2026-11"})
    assert answer.status_code == 201 and answer.headers["Location"] == "/api/v1/closes/2026-11", answer.text
    told = answer.json()
    assert told == auditor.json("/api/v1/closes/2026-11") == auditor.json("/api/v1/closes")["items"][0]
    assert told["closed_by"].startswith("api:finance") and len(told["usage_digest"]) == 64
    paid.mine(3)  # confirmations go on, and the reconciliation tells them
    for file in told["files"]:
        name, _, ending = file["name"].partition(".")
        kept = auditor.get(f"/api/v1/closes/2026-11/files/{file['name']}")
        assert hashlib.sha256(kept.content).hexdigest() == file["sha256"] and len(kept.content) == file["bytes"]
        assert kept.headers["Content-Disposition"] == f'attachment; filename="2026-11-{file["name"]}"'
        assert kept.headers["Content-Type"] == TYPES[ending]
        assert auditor.get(f"/api/v1/reports/{name}?period=2026-11&format={ending}").content == kept.content
    assert auditor.get("/api/v1/closes/2026-11/files/other.csv").status_code == 404
    assert auditor.get("/api/v1/closes/2026-12").status_code == 404
    assert auditor.get("/api/v1/closes/..%2f2026").status_code in (400, 404)


def test_a_month_that_is_not_over_or_closed_already_is_a_conflict(scene: Scene) -> None:
    scene.invoiced("acme")
    finance = scene.client(KeyRole.FINANCE)
    assert close(finance) == (409, "the books of 2026-11 cannot be closed: it is not over")
    scene.over(BOOKED)
    assert close(finance, "2026-11", **{"Idempotency-Key": "one"})[0] == 201
    assert close(finance, "2026-11", **{"Idempotency-Key": "one"})[0] == 201, "the same answer again"
    assert close(finance) == (409, "the books of 2026-11 are closed already")
    assert close(finance, "2026-1")[0] == 400
    assert len(finance.json("/api/v1/closes")["items"]) == 1


def test_what_was_used_and_is_not_invoiced_keeps_the_month_open(scene: Scene) -> None:
    scene.invoiced("acme")
    scene.over(BOOKED)
    assert scene.app.closer.blockers(USED) == []
    with scene.app.database.transaction() as session:
        assert scene.app.drafter.used_payers(session, USED)
    assert scene.app.closer.blockers(month(2026, 9)) == []


def test_of_two_who_close_at_once_one_wins(paid: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second comes while the first one writes its files."""
    first, second = paid.client(KeyRole.FINANCE), paid.client(KeyRole.FINANCE)
    writing, go_on = threading.Event(), threading.Event()
    aging = paid.app.reporter.aging

    def slow(*arguments: object) -> Iterator[bytes]:
        writing.set()
        assert go_on.wait(60)
        return aging(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(paid.app.reporter, "aging", slow)
    answers: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: answers.append(close(first)))
    thread.start()
    assert writing.wait(60)
    assert close(second) == (409, "somebody else is closing a month right now")
    go_on.set()
    thread.join()
    assert answers == [(201, "")]


def test_a_lost_data_directory_loses_no_file_of_a_closed_month(paid: Scene) -> None:
    closed = paid.app.closer.close(USED, actor="ann")
    folder, archive = (paid.app.closer._shelf.folders[n] / "2026-10" for n in (0, 1))
    shutil.rmtree(folder)
    paid.mine(3)
    auditor = paid.client(KeyRole.AUDITOR)
    for file in closed.files:
        content = auditor.get(f"/api/v1/closes/2026-10/files/{file.name}").content
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert (folder / file.name).read_bytes() == (archive / file.name).read_bytes() == content, "it is back"
    with paid.app.database.transaction() as session:
        assert paid.app.closer.lost(session)[1] == []
    for place in (folder, archive):
        (place / "usage.csv").write_bytes(b"somebody's own")
        (place / "reconciliation.csv").write_bytes(b"somebody's own")
    with paid.app.database.transaction() as session:
        assert len(paid.app.closer.lost(session)[1]) == 2
    assert auditor.get("/api/v1/closes/2026-10/files/usage.csv").status_code == 200, "it can be made again as it was"
    lost = auditor.get("/api/v1/closes/2026-10/files/reconciliation.csv")
    assert lost.status_code == 409 and "cannot be made again" in lost.json()["detail"], "it has other confirmations now"
    assert (folder / "reconciliation.csv").read_bytes() == b"somebody's own", "what is there is left to a person"


def test_too_many_at_once_are_asked_to_come_again(paid: Scene) -> None:
    one = paid.client(KeyRole.AUDITOR)
    for _ in range(files.AT_ONCE):
        assert files._making.acquire(blocking=False)
    try:
        answer = one.get("/api/v1/reports/journal?period=2026-11")
        assert answer.status_code == 503 and answer.headers["Retry-After"]
    finally:
        for _ in range(files.AT_ONCE):
            files._making.release()
    assert one.get("/api/v1/reports/journal?period=2026-11").status_code == 200


def test_a_statement_of_a_closed_month_stays_too(paid: Scene) -> None:
    one = paid.client(KeyRole.TENANT, "acme")
    before = one.get("/api/v1/reports/statement?period=2026-11")
    assert before.headers["Content-Disposition"] == 'attachment; filename="statement-acme-2026-11.csv"'
    paid.app.closer.close(BOOKED, actor="ann")
    paid.mine(3)
    assert one.get("/api/v1/reports/statement?period=2026-11").content == before.content
    rows = list(csv.DictReader(io.StringIO(before.text, newline="")))
    assert [row["balance"] for row in rows] == ["20.00", "0.00"]
    assert one.get("/api/v1/reports/journal?period=2026-11").status_code == 403
