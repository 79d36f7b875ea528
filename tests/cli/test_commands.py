"""Every command does what it says: those that change something, on a copy; every listing as JSON; nothing is untested."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from billing.cli.app import app
from billing.cli.reference import walk
from billing.core.period import rfc3339
from tests.cli.command import stablemeter
from tests.cli.scene import BOOK, Site
from tests.daemon.process import COMMAND, environment
from tests.parts import wait_for

COMMANDS: dict[tuple[str, ...], Any] = dict(walk(typer.main.get_command(app), ()))


def sources() -> Iterator[str]:
    for folder in ("cli", "demo", "daemon", "metering"):
        for path in (Path(__file__).parents[1] / folder).glob("*.py"):
            yield path.read_text()


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_every_command_is_tried_by_some_test(path: tuple[str, ...]) -> None:
    written = ", ".join(f'"{word}"' for word in path)
    assert any(written in source for source in sources()), f"no test types {written}"


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    done = stablemeter(*path, "--help").ok()
    assert done.err == "" and str(COMMANDS[path].help).split("\n", maxsplit=1)[0][:40] in done.out


def test_help_and_version_load_nothing_heavy() -> None:
    code = "import sys, billing.cli.app; print(*sorted({'sqlalchemy', 'web3', 'fastapi', 'pydantic', 'httpx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
    assert stablemeter("--version").ok().out.startswith("stablemeter ")


KEYS: dict[tuple[str, ...], tuple[tuple[str, ...], set[str]]] = {
    ("apikey", "list"): ((), {"prefix", "name", "role", "tenant", "owner", "created_at", "last_used_at", "revoked_at"}),
    ("audit",): ((), {"checked", "skipped", "findings"}),
    ("chain", "deploy-plan"): (("anvil",), {"chain", "chain_id", "to", "value", "data", "factory", "implementation", "treasury", "treasury_kind", "flusher", "deployed"}),
    ("chain", "inspect"): (("0x" + "12" * 20,), {"what", "is", "invoice", "transfers"}),
    ("chain", "presets"): ((), {"preset", "chain_id", "finality", "token", "address", "decimals"}),
    ("books", "list"): ((), {"period", "closed_at", "closed_by", "carried", "files"}),
    ("chain", "status"): ((), {"chain", "chain_id", "block", "mined_at", "final", "final_since", "stalled", "proven", "wallet", "reads_again_from", "stopped"}),
    ("compliance", "lists"): ((), {"name", "path", "dated", "addresses", "digest", "problem"}),
    ("compliance", "tenant", "show"): (("acme",), {"tenant", "legal_name", "country", "reseller", "kyc", "history", "attestations", "refused"}),
    ("device", "list"): ((), {"device", "model", "profile", "host", "source", "in_service_from", "retired_at"}),
    ("doctor",): ((), {"what", "ok", "detail"}),
    ("exception", "list"): ((), {"id", "kind", "tenant", "invoice", "detail", "suggestion", "suggestions", "status", "created_at"}),
    ("exception", "odd"): ((), {"kind", "tenant", "invoice", "amount", "currency", "since", "suggestion", "suggestions"}),
    ("exception", "show"): (("1",), {"id", "kind", "tenant", "invoice", "detail", "suggestion", "suggestions", "status", "created_at"}),
    ("invoice", "list"): ((), {"number", "tenant", "period", "status", "currency", "total", "credits", "amount_due", "paid", "remaining", "issued_at", "due_at", "address", "digest", "replaces", "url"}),
    ("invoice", "preview"): (("--period", "PERIOD"), {"payer", "tenant", "description", "seconds", "unit_price", "amount", "currency", "coverage", "bridged", "note"}),
    ("invoice", "run"): (("--period", "PERIOD"), set()),
    ("invoice", "issue"): (("acme", "--period", "PERIOD"), set()),
    ("invoice", "show"): (("INV-000001",), {"number", "lines", "credit_notes", "total", "address", "digest"}),
    ("invoice", "notes"): ((), {"number", "invoice", "tenant", "effect", "currency", "tax", "total", "reason", "issued_at"}),
    ("lease", "list"): ((), {"reference", "tenant", "host", "gpu", "from", "to"}),
    ("login", "list"): ((), {"id", "kind", "name", "role", "tenant", "owner", "email", "issued_by", "created_at", "seen_at", "expires_at", "ended_at", "state"}),
    ("ledger", "trial-balance"): ((), {"account", "asset", "debits", "credits", "balance", "balance_units"}),
    ("maintenance", "list"): ((), {"reference", "status", "from", "to", "hosts", "gpus", "reason"}),
    ("meter", "exclusions", "list"): ((), {"id", "state", "tenant", "lease", "host", "gpu", "from", "to", "seconds", "reason", "evidence"}),
    ("meter", "conservation"): (("--day", "DAY"), {"span", "gpus", "gpu_seconds", "categories", "difference_slot_seconds"}),
    ("meter", "status"): ((), {"sources", "gaps", "unknown_labels"}),
    ("owner", "list"): ((), {"owner", "name", "legal_name", "country", "email", "owed"}),
    ("owner", "show"): (("north",), {"owner", "name", "fees", "shares"}),
    ("owner", "payees"): ((), {"owner", "chain", "address", "proposed_by", "proposed_at", "confirmed_by", "confirmed_at", "ended_at"}),
    ("owner", "payout-plan"): (("anvil", "--token", "USDC"), {"chain", "chain_id", "treasury", "token", "amount_units", "treasury_units", "transactions", "left_out"}),
    ("payment", "list"): ((), {"id", "invoice", "tenant", "amount", "amount_units", "token", "token_address", "chain", "chain_id", "status", "confirmations", "kind", "disposition", "tx_hash", "log_index", "block_number", "block_hash", "from_address", "to_address", "incarnation"}),
    ("payee", "list"): ((), {"id", "tenant", "chain", "chain_id", "address", "state", "reason", "proposed_by", "confirmed_by"}),
    ("refund", "list"): ((), {"id", "tenant", "amount", "amount_units", "token", "chain", "state", "payee", "came_in", "paid_in"}),
    ("refund", "plan"): (("anvil",), {"chain", "chain_id", "transactions", "without_payee", "refused", "treasury_lacks"}),
    ("notice", "list"): ((), {"id", "message_id", "type", "subject", "tenant", "receiver", "state", "attempts", "answer", "next_attempt_at", "created_at"}),
    ("price", "agreements"): ((), {"code", "kind", "title", "tenant", "skus", "amount", "percent", "prorate", "from", "until"}),
    ("price", "show"): ((), {"sku", "title", "per_hour", "currency", "from", "until"}),
    ("restore",): ((), {"invoices", "credit_notes", "deposits", "unissued"}),
    ("sweep", "plan"): (("anvil",), {"chain", "chain_id", "final_block", "gas_price", "gas", "cost_units", "transactions", "by_hand", "too_small", "not_worth_the_gas", "waits_for_a_person", "held", "different_on_chain", "unreadable"}),
    ("treasury", "verify"): (("PLAN", "--issuer", "PIN"), {"chain_id", "transactions"}),
    ("tenant", "list"): ((), {"slug", "name", "attribution", "labels", "gaps", "reseller", "terms_days", "country", "email", "legal_name"}),
    ("tenant", "credit", "list"): (("orbit",), {"kind", "reference", "currency", "amount", "left", "final", "reversed", "created_at"}),
    ("tenant", "deposit-address"): (("beta",), {"tenant", "number", "currency", "address", "digest", "issued_at", "replaces", "made", "outdated", "settlement"}),
    ("tenant", "runway"): (("orbit",), {"tenant", "currency", "held", "pending", "accrued", "available", "per_day", "days_left", "runs_out_at", "prepaid", "low_balance", "low_days", "suspend_at_zero"}),
    ("tenant", "show"): (("orbit",), {"slug", "name", "credits", "labels"}),
    ("tenant", "standing"): (("acme",), {"tenant", "payer", "standing", "since", "suspends_at", "overdue"}),
    ("usage", "explain"): (("INV-000001", "1"), {"device", "host", "from", "to", "seconds", "basis", "because", "readings", "digest"}),
    ("usage", "show"): (("--period", "PERIOD"), {"tenant", "device", "host", "model", "basis", "runs", "seconds", "hours"}),
    ("verify",): (("DOCUMENT", "--issuer", "PIN"), {"genuine", "digest", "address", "words"}),
    ("wallet", "pin"): ((), {"pin", "factory", "implementation", "treasury", "flusher"}),
    ("wallet", "show"): ((), {"pin", "factory", "implementation", "treasury", "flusher", "accepted_chains", "generations"}),
}  # fmt: skip
"""{command: (arguments, keys that scripts may rely on)}."""
MAY_BE_EMPTY = (
    ("apikey", "list"),
    ("books", "list"),
    ("compliance", "lists"),
    ("login", "list"),
    ("price", "agreements"),
    ("invoice", "notes"),
    ("meter", "exclusions", "list"),
    ("payee", "list"),
    ("refund", "list"),
)


@pytest.mark.parametrize("path", sorted(KEYS), ids=" ".join)
def test_every_listing_is_json_with_stable_keys_and_the_same_for_people(
    site: Site, tmp_path: Path, path: tuple[str, ...]
) -> None:
    site("invoice", "show", "INV-000001", "--document", tmp_path / "document.json").ok()
    site("sweep", "plan", "anvil", "--output", tmp_path / "plan.json").ok()
    places = {
        "PERIOD": site.period,
        "DAY": site.start.date().isoformat(),
        "DOCUMENT": str(tmp_path / "document.json"),
        "PLAN": str(tmp_path / "plan.json"),
        "PIN": site("wallet", "pin", "--json").json()["pin"],
    }
    arguments, keys = KEYS[path]
    typed = [places.get(one, one) for one in arguments]
    found = (site.told["preview"] if path == ("invoice", "preview") else site(*path, *typed, "--json")).json()
    rows = found if isinstance(found, list) else [found]
    assert rows or not keys or path in MAY_BE_EMPTY, "an empty listing proves nothing"
    for row in rows:
        assert keys <= set(row), f"missing: {keys - set(row)}"
    assert site(*path, *typed).ok().out.strip()


def test_a_voided_invoice_is_replaced_and_the_credit_note_told(branch: Site) -> None:
    branch("tenant", "add", "gamma", "--label", "mystery").ok()  # what carried the label is its usage at once
    (row,) = branch("invoice", "issue", "gamma", "--period", branch.period, "--json").json()
    assert (row["number"], row["total"]) == ("INV-000004", "96.00")
    assert "INV-CN-000001" in branch("invoice", "void", row["number"], "--reason", "wrong label").ok().out
    branch("invoice", "void", row["number"], "--reason", "again").refused("void", code=1)
    assert branch("invoice", "run", "--period", branch.period).ok().out == "nothing left to invoice\n"
    (again,) = branch("invoice", "issue", "gamma", "--period", branch.period, "--json").json()
    assert again["replaces"] == row["number"] and again["address"] != row["address"]
    assert "taken back by INV-CN-000001: wrong label" in branch("invoice", "show", row["number"]).ok().out
    assert {one["status"] for one in branch("invoice", "list", "--status", "void", "--json").json()} == {"void"}
    assert branch("audit").code == 0


def test_an_invoice_is_taxed_credited_in_part_and_printed(branch: Site, tmp_path: Path) -> None:
    branch("tenant", "add", "gamma", "--label", "mystery", "--po", "PO-1").ok()
    told = branch("tenant", "set", "gamma", "--tax-rate", "0.10", "--tax-name", "GST", "--tax-id", "ABN 1").ok().out
    assert "the next invoices say so" in told and "tax GST 10 % for periods that end after" in told
    (row,) = branch("invoice", "issue", "gamma", "--period", branch.period, "--po", "PO-2", "--json").json()
    assert (row["total"], row["tax"], row["purchase_order"]) == ("105.60", "9.60", "PO-2")
    told = branch("invoice", "credit", row["number"], "--line", "1", "--amount", "6.00", "--reason", "slow").ok().out
    assert told == f"credit note INV-CN-000001; {row['number']} is open, 99.00 USD remains\n"
    assert "6.60 USD taken off by INV-CN-000001: slow" in branch("invoice", "show", row["number"]).ok().out
    for number in (row["number"], "INV-CN-000001"):
        file = tmp_path / "paper.pdf"
        assert f"bytes to {file}" in branch("invoice", "pdf", number, "--output", file).ok().out
        assert file.read_bytes().startswith(b"%PDF")
    told = branch("invoice", "credit", "INV-000001", "--line", "1", "--reason", "goodwill").ok().out
    assert "INV-000001 is paid, 0.00 USD remains" in told
    branch("invoice", "credit", "INV-000001", "--line", "1", "--reason", "again").refused("only 0.00 USD", code=1)
    assert [one["effect"] for one in branch("invoice", "notes", "--json").json()] == ["partial", "partial"]
    assert branch("audit").code == 0


def test_a_lease_ends_and_its_usage_is_derived_again(branch: Site) -> None:
    middle = rfc3339(branch.start.replace(hour=12))
    told = branch("lease", "end", "contract-1", "--at", middle, "--reason", "left early").ok().out
    assert told.startswith("lease contract-1: 1 GPUs end at")
    usage = {
        row["tenant"]: row["seconds"] for row in branch("usage", "show", "--period", branch.period, "--json").json()
    }
    assert usage["acme"] == 12 * 3600
    branch("lease", "end", "contract-1", "--at", rfc3339(branch.month.end)).refused("ended at", code=1)
    explained = branch("usage", "explain", branch.invoice("acme")["number"], "1").ok().out
    assert "invoiced: 172800 s" in explained and "(changed since)" in explained


def leased_seconds(site: Site) -> int:
    rows = site("usage", "show", "--period", site.period, "--json").json()
    return sum(row["seconds"] for row in rows if row["tenant"] == "acme")


def test_leased_time_in_maintenance_is_not_billed_and_a_window_can_be_ended_and_cancelled(branch: Site) -> None:
    first, six = rfc3339(branch.start), rfc3339(branch.start.replace(hour=6))
    window = (
        "maintenance",
        "add",
        "--from",
        first,
        "--to",
        six,
        "--host",
        "n1",
        "--reason",
        "switch",
        "--reference",
        "w2",
    )
    branch(*window).refused("INV-000001", code=1)
    assert branch(*window, "--adjust").ok().out == "maintenance w2; 1 devices changed\n"
    assert leased_seconds(branch) == 42 * 3600
    (row,) = branch("meter", "exclusions", "list", "--state", "accepted", "--json").json()
    assert (row["tenant"], row["seconds"], row["reason"]) == ("acme", 6 * 3600, "maintenance: switch")
    branch("meter", "exclusions", "reject", str(row["id"]), "--reason", "no").refused("maintenance cancel w2", code=1)
    at = rfc3339(branch.start.replace(hour=2))
    assert branch("maintenance", "end", "w2", "--at", at, "--adjust").ok().out == f"maintenance w2 ends at {at}\n"
    assert leased_seconds(branch) == 46 * 3600
    (late,) = [
        row
        for row in branch("invoice", "preview", "--period", branch.period, "--json").json()
        if row["payer"] == "acme"
    ]
    assert late["amount"] == "-4.00" and late["note"].startswith("late: comes as an adjustment on the invoice for ")
    branch("maintenance", "cancel", "w2", "--reason", "was not done", "--adjust").ok()
    assert leased_seconds(branch) == 48 * 3600
    assert [row["status"] for row in branch("maintenance", "list", "--json").json()] == ["stands", "cancelled"]


@pytest.mark.parametrize(("how", "state", "hours"), [("accept", "accepted", 47), ("reject", "rejected", 48)])
def test_a_proposed_exclusion_waits_for_a_decision_with_a_reason(
    branch: Site, how: str, state: str, hours: int
) -> None:
    """A tenant's own exporter said that the device was gone for an hour."""
    import psycopg

    with psycopg.connect(branch.database_url) as connection:
        connection.execute(
            "INSERT INTO exclusion (gpu_id, during, reason, evidence, state, recorded_at) SELECT id,"
            " tstzrange(%s, %s), 'device missing', 'source:brisbane, which the tenant controls', 'proposed', now()"
            " FROM gpu WHERE uuid = 'GPU-acme'",
            (branch.start, branch.start.replace(hour=1)),
        )
    (row,) = branch("meter", "exclusions", "list", "--json").json()
    number = str(row["id"])
    command: tuple[str, ...] = {
        "accept": ("meter", "exclusions", "accept"), "reject": ("meter", "exclusions", "reject")
    }[how]  # fmt: skip
    assert branch(*command, number, "--reason", "").code == 2
    told = branch(*command, number, "--reason", "ticket 7").ok().out
    assert "INV-000001 had charged it" in told
    assert leased_seconds(branch) == hours * 3600
    assert branch("meter", "exclusions", "list", "--json").json() == []
    (decided,) = branch("meter", "exclusions", "list", "--state", "all", "--json").json()
    assert decided["state"] == state
    branch("meter", "exclusions", "list", "--state", "odd").refused("no state", code=2)


def test_a_label_and_a_gap_policy_are_set_on_a_known_tenant(branch: Site) -> None:
    told = branch("tenant", "label", "orbit", "mystery").ok().out
    assert told == "tenant orbit: mystery; 1 devices changed\n"
    told = branch("tenant", "set", "beta", "--gap-policy", "bridge", "--gap-limit-seconds", "900").ok().out
    assert told == f"tenant beta: gaps bridge up to 900 s from {rfc3339(branch.month.end)} on; 0 devices changed\n"
    branch("tenant", "set", "beta", "--gap-policy", "bridge").refused("gap policy", code=2)
    branch("tenant", "set", "beta", "--gap-policy", "odd").refused("is not known", code=2)
    for typed, words in (
        ((), ("nothing to set",)),
        (("--gap-limit-seconds", "5"), ("--gap-policy",)),
        (("--tax-rate", "10", "--tax-name", "GST"), ("10 is no tax rate", "0.10 is ten percent")),
        (("--tax-rate", "0.1"), ("needs a name",)),
        (("--tax-rate", "x", "--tax-name", "GST"), ("'x'",)),
        (("--tax-name", "GST"), ("needs its rate",)),
        (("--tax-kind", "exempt"), ("--tax-note",)),
        (("--tax-kind", "odd"), ("not known",)),
        (("--po", "x" * 101), ("at most 100",)),
    ):
        branch("tenant", "set", "beta", *typed).refused(*words, code=2)


def test_a_whole_host_is_let_once_its_gpus_are_free(branch: Site) -> None:
    end = rfc3339(branch.month.end)
    branch("lease", "end", "contract-1", "--at", end).ok()
    assert "4 GPUs to beta" in branch("lease", "add", "beta", "--from", end, "--host", "n1").ok().out
    assert len(branch("lease", "list", "--tenant", "beta", "--json").json()) == 4


def test_a_retired_gpu_is_no_longer_missed(branch: Site) -> None:
    assert (
        branch("device", "retire", "GPU-mystery", "--at", rfc3339(branch.month.end)).ok().out
        == "GPU GPU-mystery retired\n"
    )
    rows = {row["device"]: row["retired_at"] for row in branch("device", "list", "--json").json()}
    assert rows["GPU-mystery"] and rows["GPU-beta"] is None
    (host,) = branch("device", "list", "--hosts", "--json").json()
    assert (host["host"], host["gpus"]) == ("n1", 3)


def test_a_key_is_shown_once_and_can_be_revoked(branch: Site) -> None:
    plain = branch("apikey", "create", "books", "--role", "finance").ok().out.strip()
    assert plain.startswith("smk_")
    listed = branch("apikey", "list", "--json").ok().out
    assert plain not in listed and "digest" not in listed
    prefix = json.loads(listed)[0]["prefix"]
    assert branch("apikey", "revoke", prefix).ok().out == f"key {prefix} revoked\n"
    assert branch("apikey", "list", "--json").json()[0]["revoked_at"]


def test_a_sign_in_link_is_shown_once_and_can_be_revoked(branch: Site) -> None:
    made = branch("login", "link", "--role", "tenant", "--tenant", "acme", "--name", "Ada").ok().out.strip()
    token = made.rpartition("/login/")[2]
    (one,) = branch("login", "list", "--json").json()
    assert token[8:] not in str(one) and one["id"] == token[:8] and one["state"] == "open" and one["kind"] == "link"
    assert branch("login", "revoke", one["id"], "--reason", "lost").ok().out == f"login {one['id']} revoked\n"
    assert branch("login", "list", "--json").json()[0]["state"] == "revoked"


@pytest.mark.parametrize(
    ("how", "word"), [("credit", "credit"), ("refund", "owed back"), ("acknowledge", "nothing was booked")]
)
def test_an_exception_is_resolved_once_and_with_a_reason(branch: Site, how: str, word: str) -> None:
    (row,) = branch("exception", "list", "--json").json()
    number = str(row["id"])
    assert word in branch("exception", "resolve", number, "--as", how, "--reason", "asked them").ok().out
    branch("exception", "resolve", number, "--as", how, "--reason", "again").refused("was resolved by cli:", code=1)
    assert branch("exception", "list").ok().out == "nothing waits for a person\n"
    (resolved,) = branch("exception", "list", "--all", "--json").json()
    assert resolved["status"] == "resolved" and branch("audit").code == 0


def test_notices_are_delivered_and_replayed(branch: Site) -> None:
    """Nobody is configured to hear them: they are kept all the same."""
    told = branch("notice", "list", "--limit", "1000", "--json").json()
    assert {"invoice.issued", "payment.seen", "invoice.paid"} <= {one["type"] for one in told}
    assert branch("notice", "deliver").ok().out == "0 delivered, 0 to be tried again, 0 dead\n"
    assert branch("notice", "list", "--state", "dead").ok().out == "nothing was told yet\n"
    branch("notice", "replay", "1").refused("was sent to nobody", code=1)
    branch("notice", "replay", "--dead").refused("nothing is dead", code=1)
    branch("notice", "replay").refused("name a notice, or --dead", code=2)
    branch("notice", "replay", "1", "--dead").refused("name a notice, or --dead", code=2)


def test_a_new_price_is_checked_shown_and_applied_from_the_next_month_on(branch: Site, tmp_path: Path) -> None:
    book = tmp_path / "book.toml"
    book.write_text(f'{BOOK}[[sku.price]]\nfrom = {branch.month.end:%Y-%m-%d}\nper_hour = "2.50"\n')
    checked = branch("price", "check", book).ok().out
    told = checked.removesuffix("nobody's cost of this month changes so far\n")
    assert told != checked and "-> 2.50" in told.replace("-> 2.5 ", "-> 2.50 ")
    assert branch("price", "apply", book).ok().out == told
    assert branch("price", "apply", book).ok().out == "no price changes\n"
    assert len(branch("price", "show", "--json").json()) == 2


def test_payments_of_one_invoice_and_all_movements(site: Site) -> None:
    number = site.invoice("acme")["number"]
    mine = site("payment", "list", "--invoice", number, "--json").json()
    assert {row["invoice"] for row in mine} == {number} and len(mine) == 2
    everything = site("payment", "list", "--all", "--json").json()
    assert len(everything) >= len(site("payment", "list", "--json").json())


def test_the_archive_brings_back_what_an_old_backup_forgot(branch: Site) -> None:
    """The copy's database forgets that it ever invoiced; its archive does not."""
    import psycopg

    with psycopg.connect(branch.database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        for table in ("posting", "entry", "payment", "exception", "transfer", "charge", "credit_use", "tenant_credit",
                      "payment_address", "invoice_line", "invoice", "deposit_document", "number_series"):  # fmt: skip
            connection.execute(f"DELETE FROM {table}")
    branch("invoice", "run", "--period", branch.period).refused("an older backup restored", code=1)
    assert branch("restore").ok().out.startswith("3 invoices and 0 credit notes brought back")
    assert branch("restore", "--json").json()["invoices"] == []
    branch("chain", "sync").ok()
    assert {name: branch.invoice(name)["remaining"] for name in ("acme", "beta")} == {"acme": "0.00", "beta": "24.00"}
    assert branch("audit").code == 0


def test_results_can_be_piped_into_a_reader_that_stops_early(site: Site) -> None:
    shell = f"{' '.join(COMMAND)} --config {site.config} init --show | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.stdout.startswith("# Settings") and "Traceback" not in done.stderr


def test_ctrl_c_ends_a_command_with_130_and_one_quiet_line_at_most(site: Site, tmp_path: Path) -> None:
    """The reading hangs on a source that never answers; a person loses patience."""
    import socket

    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        other = site.variant(tmp_path, {site.prometheus_url: f"http://127.0.0.1:{deaf.getsockname()[1]}"})
        deaf.settimeout(60)
        process = subprocess.Popen(
            [*COMMAND, "--config", str(other.config), "meter", "collect", "--from", rfc3339(site.start), "--to",
             rfc3339(site.month.end)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        try:
            connection, _ = deaf.accept()  # it is reading now
            process.send_signal(signal.SIGINT)
            connection.close()
            deaf.close()  # or it would wait for the answer as long as the source's timeout says
            out, err = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
    assert process.returncode == 130 and "Traceback" not in out + err and len(err.splitlines()) <= 1


def test_roles_can_be_run_alone_and_stop_cleanly(branch: Site, tmp_path: Path) -> None:
    """The copy's daemon, all but the pages: it reads, follows the chain, and ends with exit code 0."""
    log = tmp_path / "run.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "--config", str(branch.config), "run", "--only", "watcher"],
            stdout=output, stderr=output, env=environment(),
        )  # fmt: skip
    try:
        wait_for(lambda: "started" in log.read_text() or process.poll() is not None, "the daemon", 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    assert "Traceback" not in log.read_text()


def test_a_tenant_pays_before_it_uses_and_is_suspended_without_credit(branch: Site) -> None:
    shown = branch("tenant", "deposit-address", "acme", "--json").json()
    assert shown["made"] and shown["settlement"][0]["rule"] == "par"
    document = branch.config.parent / "deposit.json"
    assert shown["address"] in branch("tenant", "deposit-address", "acme", "--document", document).ok().out
    pin = branch("wallet", "pin", "--json").json()["pin"]
    told = branch("verify", document, "--issuer", pin, "--address", shown["address"]).ok().out
    assert told.startswith(f"{shown['number']}: the USD deposit address of acme")
    branch("tenant", "deposit-address", "acme", "--renew").refused("needs a reason", code=2)
    assert (
        "acme pays before"
        in branch("tenant", "prepaid", "acme", "--suspend-at-zero", "--low", "5.00", "--reason", "new").ok().out
    )
    assert "standing: suspended" in branch("tenant", "standing", "acme").out
    given = branch("tenant", "credit", "grant", "acme", "25.00", "--reason", "welcome", "--reference", "HELLO").ok().out
    assert given == "acme was given 25.00 USD: HELLO\n"
    branch("tenant", "credit", "grant", "acme", "25.00", "--reason", "x", "--reference", "HELLO").refused(
        "HELLO", code=1
    )
    branch("tenant", "credit", "grant", "acme", "0", "--reason", "x").refused("more than zero", code=2)
    assert branch("tenant", "standing", "acme", "--json").json()["available"] == "25.00 USD"
    assert branch("tenant", "runway", "acme", "--json").json()["low_balance"] == "5.00"
    assert "acme pays after" in branch("tenant", "prepaid", "acme", "--off", "--reason", "trusted").ok().out
    branch("tenant", "prepaid", "acme", "--off", "--low", "1.00", "--reason", "x").refused("no terms", code=2)
    assert branch("audit").code == 0
