"""The statement: per GPU, with totals and what is owed, in every format, and the same from the API."""

import csv
import json
from datetime import timedelta
from http import HTTPStatus
from io import BytesIO, StringIO

import pytest
from openpyxl import load_workbook
from pypdf import PdfReader

from billing.core.errors import NotFound
from billing.core.period import month_of
from billing.reports.reporter import Format
from billing.tenants.keys import KeyRole
from tests.owners.test_settler import own, owner, settle
from tests.web.client import Client
from tests.web.scene import Scene


@pytest.fixture
def earning(scene: Scene) -> Scene:
    """Two GPUs of north bring in 20.00 and 10.00; a third is beta's alone."""
    first, second = scene.invoiced("acme", "beta")
    owner(scene, "north", fee=1_000)
    own(scene, "north", "GPU-acme")
    own(scene, "north", "GPU-beta", "1/2")
    scene.pay(first, 20_000_000)
    scene.pay(second, 20_000_000)
    scene.mine(3)
    settle(scene)
    return scene


def written(scene: Scene, file_format: Format) -> bytes:
    period = month_of(scene.clock.now())
    return b"".join(scene.app.reporter.owner_statement("north", period, file_format))


def test_each_gpu_has_its_row_and_the_totals_add_up(earning: Scene) -> None:
    rows = list(csv.DictReader(StringIO(written(earning, Format.CSV).decode())))
    assert [(one["kind"], one["gpu"], one["collected"], one["fee"], one["net"], one["balance"]) for one in rows] == [
        ("brought forward", "", "", "", "", "0.00"),
        ("gpu", "GPU-acme", "20.00", "2.00", "18.00", ""),
        ("gpu", "GPU-beta", "10.00", "1.00", "9.00", ""),
        ("total", "", "30.00", "3.00", "27.00", "27.00"),
    ]
    assert [list(one.values()) for one in json.loads(written(earning, Format.JSON))["rows"]][1][2] == "GPU-acme"
    sheet = load_workbook(BytesIO(written(earning, Format.XLSX)))["owner statement"]
    assert [cell.value for cell in sheet[5]][4:8] == ["USD", 30, 3, 27]


def test_the_next_month_begins_with_what_is_owed(earning: Scene) -> None:
    earning.clock.advance(timedelta(days=31))
    rows = list(csv.DictReader(StringIO(written(earning, Format.CSV).decode())))
    assert [(one["kind"], one["net"], one["balance"]) for one in rows] == [
        ("brought forward", "", "27.00"), ("total", "0.00", "27.00"),
    ]  # fmt: skip


def test_an_unknown_owner_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound, match="no owner north"):
        written(scene, Format.CSV)


def test_the_api_tells_owners_and_statements(earning: Scene) -> None:
    client = earning.client(KeyRole.AUDITOR)
    (item,) = client.json("/api/v1/owners")["items"]
    assert (item["slug"], item["owed"]) == ("north", [{"currency": "USD", "amount": "27.00"}])
    period = f"{earning.clock.now():%Y-%m}"
    found = client.json(f"/api/v1/owners/north/statement?period={period}")
    assert found == {
        "owner": "north", "period": period,
        "currencies": [{
            "currency": "USD", "brought_forward": "0.00", "collected": "30.00", "fee": "3.00", "net": "27.00",
            "paid_out": "0.00", "balance": "27.00", "payouts": [],
            "gpus": [
                {"gpu": "GPU-acme", "host": "n1", "collected": "20.00", "fee": "2.00", "net": "18.00"},
                {"gpu": "GPU-beta", "host": "n1", "collected": "10.00", "fee": "1.00", "net": "9.00"},
            ],
        }],
    }  # fmt: skip
    assert client.get("/api/v1/owners/nobody/statement?period=2026-10").status_code == HTTPStatus.NOT_FOUND
    wrong = {"?period=2026-13": 400, "?period=x": 400, "": 422, "?period=2026-10&x=1": 422}
    for query, status in wrong.items():
        assert client.get(f"/api/v1/owners/north/statement{query}").status_code == status


def test_the_statement_comes_as_files_and_as_paper_for_the_owner(earning: Scene) -> None:
    client, period = earning.client(KeyRole.FINANCE), f"{earning.clock.now():%Y-%m}"
    path = "/api/v1/owners/north/statement"
    printed = client.get(f"{path}.pdf?period={period}")
    assert (printed.status_code, printed.headers["content-type"]) == (HTTPStatus.OK, "application/pdf")
    (attached,) = PdfReader(BytesIO(printed.content)).attachments.values()
    assert attached == [written(earning, Format.CSV)] == [client.get(f"{path}.csv?period={period}").content]
    assert "27.00 USD still owed" in PdfReader(BytesIO(printed.content)).pages[0].extract_text()
    assert (
        client.get(f"{path}.pdf?period={period}", headers={"If-None-Match": printed.headers["etag"]}).status_code == 304
    )
    assert client.get(f"{path}.xlsx?period={period}").content[:2] == b"PK"
    refused = {f"{path}.doc?period={period}": 422, f"{path}.pdf?period=x": 400, f"{path}.pdf": 422}
    assert {one: client.get(one).status_code for one in refused} == refused
    assert client.get(f"/api/v1/owners/nobody/statement.pdf?period={period}").status_code == HTTPStatus.NOT_FOUND
    assert earning.client(KeyRole.TENANT, "acme").get(f"{path}.pdf?period={period}").status_code == HTTPStatus.FORBIDDEN


def test_an_address_is_proposed_and_confirmed_by_two_keys(earning: Scene) -> None:
    first, same = earning.client(KeyRole.FINANCE), earning.client(KeyRole.FINANCE)
    key = earning.app.registrar.create_key(name="bob", role=KeyRole.FINANCE, tenant="", actor="test")
    second = Client(first.api, key)
    body = {"chain_id": 31337, "address": "0x" + "12" * 20, "reason": "by letter"}
    path = "/api/v1/owners/north"
    proposed = first.post(f"{path}/payees", body, headers={"Idempotency-Key": "p1"})
    again = first.post(f"{path}/payees", body, headers={"Idempotency-Key": "p1"})
    assert proposed.status_code == HTTPStatus.CREATED and proposed.json() == again.json()
    assert first.post(f"{path}/confirm-payee", body).status_code == HTTPStatus.CONFLICT
    assert same.post(f"{path}/confirm-payee", body).status_code == HTTPStatus.CONFLICT, "another key of one name"
    confirmed = second.post(f"{path}/confirm-payee", body)
    assert confirmed.status_code == HTTPStatus.OK and confirmed.json()["confirmed_by"].startswith("api:bob")
    assert [one["confirmed_at"] is not None for one in first.json(f"{path}/payees")["items"]] == [True]
    wrong = ({**body, "chain_id": 1}, {**body, "address": "0x12"}, {**body, "reason": ""}, {**body, "x": 1})
    for one in wrong:
        assert first.post(f"{path}/payees", one).status_code in (400, 422)
