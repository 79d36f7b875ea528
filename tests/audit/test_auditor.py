"""Every invariant finds the fault it is there for. Each fault is made in a copy of a settled site, behind the guards."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from billing.audit import store
from billing.bootstrap import App, build
from tests.world import World, issued, usd, world

_numbers = itertools.count(1)

CHAIN = "the books match anvil"
DOCUMENTS = "documents are unchanged and stand for their addresses"
ARCHIVED = "every document is archived, everywhere"
CONSERVED = "every GPU-second is accounted for"

TWICE = """
DO $$ DECLARE c text; BEGIN
  FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'usage'::regclass AND contype = 'x' LOOP
    EXECUTE 'ALTER TABLE usage DROP CONSTRAINT ' || quote_ident(c);
  END LOOP; END $$;
CREATE TEMP TABLE twice AS SELECT u.* FROM usage u JOIN tenant t ON t.id = u.tenant_id WHERE t.slug = 'acme';
UPDATE twice SET id = id + 1000, tenant_id = (SELECT id FROM tenant WHERE slug = 'beta');
INSERT INTO usage SELECT * FROM twice"""
"""acme's GPU is used a second time at the same moment: the constraint that refuses it has to go first."""

CLOSED = "INSERT INTO book_close (period, first_day, closed_before, closed_at, closed_by, carried, charged_until, charges, usage_digest) VALUES ('2026-10',"

NOTED = "INSERT INTO credit_note (number, invoice_id, total, reason, document, digest, issued_at, kind) VALUES ('INV-CN-000001', 1, 20001, 'x', '', 'x', now(), 'void')"
POSTED = "INSERT INTO posting (entry_id, account, asset, units) VALUES (1, '{}', '{}', {})"

FAULTS: list[tuple[str, str, str]] = [
    ("every asset balances", "UPDATE posting SET units = units + 1 WHERE id = (SELECT min(id) FROM posting)", "1 units too many"),
    ("every entry balances", "UPDATE posting SET units = units + 1 WHERE id = (SELECT min(id) FROM posting)", "is off by 1"),
    ("lines add up to the invoice", "UPDATE invoice_line SET amount = amount + 1 WHERE invoice_id = 1", "INV-000001: lines sum to 20001"),
    ("charges add up to their line", "UPDATE charge SET amount = amount - 1 WHERE invoice_id = 1", "INV-000001 line 1"),
    ("charges add up to their line", "UPDATE charge SET seconds = seconds - 1 WHERE invoice_id = 2", "INV-000002 line 1"),
    ("charges add up to their line", "DELETE FROM charge WHERE invoice_id = 1", "charges sum to 0"),
    ("an invoice's status is what the ledger says", "UPDATE invoice SET status = 'open' WHERE id = 1", "INV-000001: open with 0"),
    ("an invoice's status is what the ledger says", "UPDATE invoice SET status = 'paid' WHERE id = 3", "INV-000003: paid with"),
    ("an invoice's status is what the ledger says", "UPDATE invoice SET status = 'void' WHERE id = 3", "INV-000003: void with"),
    ("numbers have no gap", "UPDATE number_series SET next = next + 1", "INV: next is 5, but 3"),
    ("numbers have no gap", "DELETE FROM invoice WHERE id = 2", "INV: next is 4, but 2"),
    ("tenants' credit is what the ledger says", "UPDATE tenant_credit SET units = units + 1", "beta: holds 10001"),
    ("tenants' credit is what the ledger says", "DELETE FROM tenant_credit", "beta: holds 0"),
    ("every standing transfer is booked once", "DELETE FROM entry WHERE transfer_id IS NOT NULL", "with 0 entries"),
    ("every standing transfer is booked once", "UPDATE transfer SET incarnation = incarnation + 1", "transfer"),
    ("every standing transfer is booked once", "UPDATE transfer SET state = 'orphaned'", "orphaned with 1"),
    ("one payment stands for every settled transfer", "DELETE FROM payment WHERE invoice_id = 1", "final with 0 payments"),
    ("one payment stands for every settled transfer", "INSERT INTO payment SELECT (jsonb_populate_record(p, '{\"id\": 99, \"incarnation\": 2}')).* FROM payment p WHERE invoice_id = 1", "final with 2 payments"),
    ("one payment stands for every settled transfer", "UPDATE transfer SET state = 'orphaned'", "orphaned with 1 payments"),
    ("what is owed is due less what was applied", "UPDATE payment SET applied_units = applied_units + 1 WHERE invoice_id = 1", "INV-000001: 0 owed, 20000 due, 20001 applied"),
    ("what is owed is due less what was applied", "UPDATE invoice SET status = 'void' WHERE id = 2", "INV-000002: 0 owed, 20000 due, 20000 applied"),
    ("what is final was found on the chain again", "INSERT INTO chain_doubt (transfer_id, why, found_at) SELECT id, 'gone', now() FROM transfer", "gone"),
    (DOCUMENTS, "UPDATE invoice SET document = document || ' '::bytea WHERE id = 1", "INV-000001: the document's bytes are not canonical"),
    (DOCUMENTS, "UPDATE invoice SET document = convert_to(replace(convert_from(document, 'UTF8'), '\"Acme\"', '\"Acne\"'), 'UTF8') WHERE id = 1", "INV-000001: the stored digest is not the document's"),
    (DOCUMENTS, "UPDATE payment_address SET address = '0x1212121212121212121212121212121212121212' WHERE invoice_id = 1", "INV-000001: its document stands for 0x"),
    (ARCHIVED, "UPDATE invoice SET digest = '0x' || repeat('12', 32) WHERE id = 1", "INV-000001: not in"),
    (ARCHIVED, "DELETE FROM invoice WHERE id = 2", "INV-000002: archived as issued, not in the database"),
    ("no two payers for one slot at one moment", TWICE, "overlaps usage"),
    (CONSERVED, "UPDATE usage SET superseded_at = now() WHERE basis = 'lease'", "GPU GPU-acme on n1"),
    (CHAIN, "UPDATE transfer SET units = units + 1", "USDC at block"),
    (CHAIN, "DELETE FROM posting WHERE account LIKE 'deposit:%'", "deposit:31337:USDC: ledger 0"),
    ("closed months were charged what was frozen", f"{CLOSED} '2026-10-01', '2026-11-01', now(), 'x', '[]', 1000, 1, 'ab')", "2026-10: 3 charges with the digest"),
    ("files of closed months are kept as they were made", f"{CLOSED} '2026-10-01', '2026-11-01', now(), 'x', '[]', NULL, NULL, NULL);"
     " INSERT INTO closed_file (close_id, name, sha256, size) SELECT id, 'journal.csv', 'ab', 1 FROM book_close", "2026-10/journal.csv"),
    ("credit notes take off no more than there was", NOTED, "was credited"),
    ("what owners are owed is what was settled", POSTED.format("owner_payable:north", "USD", -5), "north: 0 USD settled and not paid out, the ledger says 5"),
    ("what is owed back is what the ledger says", POSTED.format("refunds_payable", "31337:USDC", -7), "0 units are owed back, the ledger says 7"),
    ("what persons applied of a payment is its own", "UPDATE payment SET disposition = 'resolved' WHERE invoice_id = 1", "0 are assigned"),
    ("what is held is what is booked as held", "UPDATE payment SET disposition = 'held' WHERE invoice_id = 1", "units are held, the ledger says 0"),
]  # fmt: skip
"""(invariant, fault, what the finding says). acme paid exactly, beta 100.00 too much, gamma nothing."""


@pytest.fixture(scope="module")
def settled(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three invoices on a real chain; the application is closed, so that the database can be copied."""
    name, folder = f"audit{os.getpid()}", tmp_path_factory.mktemp("audit")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE stablemeter_template STRATEGY FILE_COPY")
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with world(url, folder) as made:
        acme, beta, _ = issued(made, "acme", "beta", "gamma")
        assert acme.address is not None and beta.address is not None
        made.node.transfer(made.usdc, acme.address, usd("200.00"))
        made.node.transfer(made.usdc, beta.address, usd("300.00"))
        made.settle(30)
        assert made.findings() == []
        made.app.close()
        yield made


Copies = Callable[[], tuple[App, str, Path]]


@pytest.fixture
def copies(settled: World, postgres: str, tmp_path: Path) -> Iterator[Copies]:
    """Makes copies of the database and the archive: (application, database URL, archive)."""
    made: list[tuple[App, str]] = []

    def copied() -> tuple[App, str, Path]:
        name = f"audit{os.getpid()}_{next(_numbers)}"
        source = make_url(settled.settings.database.url.get_secret_value())
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {source.database} STRATEGY FILE_COPY")
        url = source.set(database=name).render_as_string(hide_password=False)
        archive = tmp_path / name
        shutil.copytree(settled.settings.archive_directories[0], archive)
        settings = settled.settings.model_copy(
            update={
                "database": settled.settings.database.model_copy(update={"url": SecretStr(url)}),
                "wallet": settled.settings.wallet.model_copy(update={"archive": [archive]}),
            }
        )
        app = build(settings, settled.clock)
        made.append((app, name))
        return app, url, archive

    yield copied
    for app, name in made:
        app.close()
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(("check", "fault", "words"), FAULTS, ids=[f"{check}: {words}" for check, _, words in FAULTS])
def test_a_fault_is_found_by_its_invariant(copies: Copies, check: str, fault: str, words: str) -> None:
    app, url, _ = copies()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # behind triggers and foreign keys
        connection.execute(fault)
    result = app.auditor.run(actor="test")
    found = [str(one) for one in result.findings if one.check == check]
    assert any(words in one for one in found), result.findings
    assert check in result.checked, "a finding names an invariant that was checked"


def test_every_invariant_has_a_fault_that_it_finds(copies: Copies) -> None:
    app, _, _ = copies()
    result = app.auditor.run(actor="test")
    assert result.findings == [] and result.skipped == []
    assert {check for check, _, _ in FAULTS} == set(result.checked) > set(store.QUERIES)


def test_an_archive_that_lost_a_document_or_a_disk_is_found(copies: Copies) -> None:
    app, _, archive = copies()
    (documents,) = archive.glob("documents-*.jsonl")
    lines = documents.read_bytes().splitlines(keepends=True)
    documents.write_bytes(b"".join(lines[:-1]))
    (finding,) = app.auditor.run(chains=False).findings
    assert finding.check == ARCHIVED and finding.subject == "INV-000003" and str(archive) in finding.detail
    shutil.rmtree(archive)
    assert {one.subject for one in app.auditor.run(chains=False).findings} == {f"INV-00000{n}" for n in (1, 2, 3)}


def test_money_that_left_an_address_unseen_is_found(copies: Copies, settled: World) -> None:
    """The chain itself changes behind our back: a balance that no transfer explains."""
    from billing.core.onchain import word

    app, url, _ = copies()
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT to_address FROM transfer ORDER BY id LIMIT 1").fetchone()
    assert row is not None
    raw = settled.node.request("evm_snapshot", [])
    try:
        slot = next(one for one in range(10) if _balance_slot(settled, row[0], one) == usd("200.00"))
        settled.node.request(
            "anvil_setStorageAt", [settled.usdc, "0x" + _key(row[0], slot).hex(), "0x" + word(7).hex()]
        )
        settled.node.mine(30)
        for watcher in app.watchers.values():
            watcher.sync()
        findings = [str(one) for one in app.auditor.run().findings]
        assert any("chain 7, transfers 200000000" in one for one in findings), findings
    finally:
        settled.node.request("evm_revert", [raw])


def _key(owner: str, slot: int) -> bytes:
    from billing.core.keccak import keccak256
    from billing.core.onchain import parse_address, word

    return keccak256(word(parse_address(owner)) + word(slot))


def _balance_slot(made: World, owner: str, slot: int) -> int:
    return int(made.node.request("eth_getStorageAt", [made.usdc, "0x" + _key(owner, slot).hex(), "latest"]), 16)


def test_what_cannot_be_checked_is_told_and_the_audit_leaves_its_trace(copies: Copies, settled: World) -> None:
    app, url, _ = copies()
    chains = [settled.settings.chains[0].model_copy(update={"rpc_urls": ["http://127.0.0.1:1"], "timeout_seconds": 1})]
    away = build(app.settings.model_copy(update={"chains": chains}), settled.clock)
    result = away.auditor.run(actor="somebody")
    away.close()
    assert result.findings == [] and result.skipped[0].startswith(f"{CHAIN}: ") and CHAIN not in result.checked
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT actor, details FROM trail WHERE action = 'audit' ORDER BY id DESC LIMIT 1"
        ).fetchall()
    assert rows[0][0] == "somebody" and rows[0][1]["skipped"] == result.skipped
