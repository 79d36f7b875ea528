"""What finance and operators do remotely: books, prices, plans, notices, and how the machinery does."""

import json
from collections import Counter
from http import HTTPStatus

import pytest

from billing.core.onchain import Address, checksum
from billing.notices import store as notices
from billing.notices.notice import DeliveryState, Notice, NoticeType
from billing.notices.store import Wants
from billing.owners.share import Owner
from billing.tenants.keys import KeyRole
from tests.owners.test_settler import own, settle
from tests.web.client import USDC, Client
from tests.web.scene import CHAIN, Scene
from tests.world import BOOK

HOME = Address("0x" + "50" * 20)
OCTOBER = "period=2026-10"


@pytest.fixture
def desk(scene: Scene) -> Scene:
    """acme paid 20.00, all of which north's GPU earned."""
    (invoice,) = scene.invoiced("acme")
    scene.app.owner_registrar.add(Owner("north", "North"), fee_basis_points=0, actor="test")
    own(scene, "north", "GPU-acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(12)
    settle(scene)
    return scene


def finance(scene: Scene) -> Client:
    return scene.client(KeyRole.FINANCE)


def every(client: Client, path: str, limit: int = 2) -> list[dict[str, object]]:
    """All items of a list, page by page."""
    found: list[dict[str, object]] = []
    cursor: str | None = ""
    mark = "&" if "?" in path else "?"
    while cursor is not None:
        page = client.json(f"{path}{mark}limit={limit}&cursor={cursor}")
        found += page["items"]
        assert len(page["items"]) <= limit
        cursor = page["next_cursor"]
    return found


def test_books_are_told_page_by_page_and_balance(desk: Scene) -> None:
    client = finance(desk)
    balances = every(client, "/api/v1/ledger/trial-balance")
    assert len(balances) == len({(one["account"], one["asset"]) for one in balances}) > 4
    sums: Counter[str] = Counter()
    for one in balances:
        sums[str(one["asset"])] += int(str(one["balance_units"]))
    assert set(sums.values()) == {0}
    (row,) = every(client, f"/api/v1/reconciliation?{OCTOBER}", 1)
    assert (row["tenant"], row["value"], row["difference"], row["to"]) == ("acme", "20.00", "0.00", row["address"])
    assert client.get("/api/v1/audit").status_code == HTTPStatus.NOT_FOUND
    run = client.post("/api/v1/audit", {}).json()
    last = client.json("/api/v1/audit")
    assert (run["findings"], last["count"], last["checked"]) == ([], 0, len(run["checked"]))


def test_a_price_book_is_checked_applied_and_shown_as_it_was_applied(desk: Scene) -> None:
    client = finance(desk)
    book = BOOK + '[[sku.price]]\nfrom = 2027-01-01\nper_hour = "3.00"\n'
    checked = client.post("/api/v1/price-books/check", {"content": book})
    assert checked.status_code == HTTPStatus.OK, checked.text
    assert checked.json()["untold"] == [] and {one["sku"] for one in checked.json()["changes"]} == {"h100"}
    assert len(client.json("/api/v1/price-books")["items"]) == 1, "a check applies nothing"
    key = {"Idempotency-Key": "b1"}
    first = client.post("/api/v1/price-books", {"content": book}, headers=key)
    again = client.post("/api/v1/price-books", {"content": book}, headers=key)
    assert first.status_code == HTTPStatus.CREATED and first.json() == again.json()
    books = every(client, "/api/v1/price-books", 1)
    assert client.json(f"/api/v1/price-books/{books[-1]['id']}")["content"] == book
    assert [one["per_hour"] for one in every(client, "/api/v1/prices", 1)] == ["2", "3"]
    for wrong, status in {"x": 400, BOOK.replace("2.00", "5.00"): 409, "": 422}.items():
        assert client.post("/api/v1/price-books", {"content": wrong}).status_code == status, wrong
    assert client.get("/api/v1/price-books/99").status_code == HTTPStatus.NOT_FOUND


def test_plans_come_as_transactions_and_as_a_file_to_sign(desk: Scene) -> None:
    client = finance(desk)
    plan = f"/api/v1/plans/payouts/{CHAIN}"
    assert client.json(f"{plan}?token=USDC")["left_out"][0]["what"] == "north"
    assert client.get(f"{plan}/safe?token=USDC").status_code == HTTPStatus.CONFLICT
    for actor in ("cli:ann", "cli:bob"):
        do = desk.app.payer.propose if actor == "cli:ann" else desk.app.payer.confirm
        do("north", CHAIN, HOME, reason="by letter", actor=actor)
    (call,) = client.json(f"{plan}?token=USDC")["transactions"]
    assert (call["payee"], call["amount_units"], call["to"]) == (checksum(HOME), "20000000", checksum(Address(USDC)))
    (signed,) = json.loads(client.get(f"{plan}/safe?token=USDC").content)["transactions"]
    assert (signed["to"], signed["data"], signed["value"]) == (call["to"], call["data"], "0")
    assert client.get("/api/v1/plans/payouts/1?token=USDC").status_code == HTTPStatus.NOT_FOUND
    assert client.get(f"{plan}?token=NONE").status_code == HTTPStatus.NOT_FOUND
    assert client.json(f"/api/v1/plans/refunds/{CHAIN}")["transactions"] == []


def test_deliveries_are_listed_and_what_is_dead_is_sent_again(desk: Scene) -> None:
    client, now = finance(desk), desk.clock.now()
    with desk.app.database.transaction() as session:
        for number in range(3):
            notices.tell(session, Notice(NoticeType.TENANT_SUSPENDED, f"tenant {number}", {}), now)
        notices.spread(session, {"erp": Wants(), "slack": Wants()}, now, 100)
        claimed = notices.claim(session, "erp", now)
        assert claimed is not None
        notices.note(session, claimed, DeliveryState.DEAD, "410", now)
    rows = every(client, "/api/v1/deliveries")
    assert len(rows) == len({(one["notice"], one["receiver"]) for one in rows}) >= 6
    (dead,) = every(client, "/api/v1/deliveries?state=dead")
    assert client.post("/api/v1/deliveries/replay-dead", {}).json() == {"deliveries": 1}
    assert client.post("/api/v1/deliveries/replay-dead", {}).status_code == HTTPStatus.NOT_FOUND
    assert client.post(f"/api/v1/notices/{dead['notice']}/replay", {}).json() == {"deliveries": 2}


def test_the_machinery_and_the_trail_are_told(desk: Scene) -> None:
    client = finance(desk)
    (chain,) = client.json("/api/v1/chains")["items"]
    assert (chain["name"], chain["block"], chain["accepted"], chain["stopped"]) == ("anvil", desk.head, True, "")
    assert [one["name"] for one in client.json("/api/v1/sources")["items"]] == ["script"]
    desk.stop_chain()
    resume = f"/api/v1/chains/{CHAIN}/resume"
    operator = desk.client(KeyRole.OPERATOR)
    assert operator.post(resume, {"reason": "looked"}).json() == {"stopped": "a secret reason"}
    assert operator.post(resume, {"reason": "looked"}).status_code == HTTPStatus.CONFLICT
    (deed,) = every(client, "/api/v1/trail?subject=anvil")
    assert (deed["action"], deed["reason"]) == ("chain.resume", "looked")
    assert len(every(client, "/api/v1/trail", 5)) > 5
    assert client.json("/api/v1/wallet")["accepted_chains"] == [CHAIN]


def test_an_owner_gets_shares_and_fees_and_loses_them(desk: Scene) -> None:
    operator, client = desk.client(KeyRole.OPERATOR), finance(desk)
    assert operator.post("/api/v1/owners", {"slug": "south", "name": "South"}).status_code == HTTPStatus.CREATED
    share = {"share": "1/2", "from": "2026-11-05", "gpus": ["GPU-acme"]}
    assert operator.post("/api/v1/owners/south/shares", share).status_code == HTTPStatus.CONFLICT, "north owns all"
    (held,) = client.json("/api/v1/owners/north/shares")["items"]
    assert (held["share"], held["until"]) == ("1", None)
    end = {"at": "2026-11-05", "reason": "sold"}
    assert operator.post(f"/api/v1/owners/south/shares/{held['id']}/end", end).status_code == HTTPStatus.NOT_FOUND
    ended = operator.post(f"/api/v1/owners/north/shares/{held['id']}/end", end).json()
    assert ended["until"] == "2026-11-05T00:00:00Z"
    assert operator.post("/api/v1/owners/south/shares", share).json() == {"gpus": 1}
    fee = {"basis_points": 250, "from": "2026-11-05", "reason": "contract"}
    assert client.post("/api/v1/owners/south/fees", fee).status_code == HTTPStatus.CREATED
    assert client.json("/api/v1/owners/south/fees")["items"] == [{"basis_points": 250, "from": "2026-11-05T00:00:00Z"}]


def test_what_remains_is_written_off_once(scene: Scene) -> None:
    (invoice,) = scene.invoiced("acme")
    client, path = finance(scene), f"/api/v1/invoices/{invoice.number}/write-off"
    assert client.post(path, {"reason": "insolvent"}).json()["status"] == "uncollectible"
    assert client.post(path, {"reason": "again"}).status_code == HTTPStatus.CONFLICT
    assert client.post("/api/v1/invoices", {"period": "2026-13"}).status_code == HTTPStatus.BAD_REQUEST
    assert client.json(f"/api/v1/drafts?{OCTOBER}")["items"] == []
