"""A month at the command line, as a person types it: from an empty directory to audited books and verified invoices."""

import csv
import json
from pathlib import Path

from billing.core.onchain import checksum
from tests.cli.command import stablemeter
from tests.cli.scene import HOURS, Site


def test_the_site_is_set_up_by_commands_alone(site: Site) -> None:
    told = site.told
    assert told["init"].ok().out == "written to stablemeter.toml; edit it, then run: stablemeter doctor\n"
    assert site.config.stat().st_mode & 0o077 == 0, "settings may hold a password"
    for step in ("check before", "list before"):
        told[step].refused("has schema none", "stablemeter db upgrade", code=2)
    assert told["upgrade"].ok().out.startswith("schema ") and "from empty" in told["upgrade"].out
    assert "(nothing to do)" in told["upgrade again"].ok().out
    assert told["check"].ok().out == "the database is as this version expects\n"


def test_the_doctor_says_what_is_missing_and_then_that_nothing_is(site: Site) -> None:
    before = site.told["doctor before"]
    wrong = [line for line in before.out.splitlines() if line.startswith("WRONG")]
    assert before.code == 1 and before.err == ""
    (line,) = wrong
    assert "chain anvil" in line and "is not deployed" in line and "stablemeter chain deploy-plan anvil" in line
    after = site.told["doctor"].ok()
    assert "WRONG" not in after.out and "the wallet is accepted" in after.out and "source brisbane" in after.out


def test_two_days_are_metered_and_reading_them_again_changes_nothing(site: Site) -> None:
    assert site.told["collect"].ok().out.startswith(f"{HOURS} windows read, 0 unchanged")
    assert site.told["collect again"].ok().out.startswith(f"{HOURS} windows read, {HOURS} unchanged")
    assert site.told["lease add"].ok().out == "lease contract-1: 1 GPUs to acme\n"
    assert "h100: " in site.told["price check"].ok().out
    told, then = site.told["price apply"].ok().out, site.told["price check"].out
    assert then == f"{told}this month's costs before: there are no prices yet\n", "check shows what apply does"
    usage = {row["tenant"]: row["seconds"] for row in site("usage", "show", "--period", site.period, "--json").json()}
    assert usage == {"acme": 48 * 3600, "beta": 24 * 3600, "delta": 48 * 3600}
    (source,) = site("meter", "status", "--json").json()["sources"]
    assert source["name"] == "brisbane" and source["failure"] == ""


def test_every_gpu_second_is_somewhere(site: Site) -> None:
    first = site.start.date().isoformat()
    found = site("meter", "conservation", "--day", first, "--to", f"{site.month.end:%Y-%m-%d}", "--json").json()
    hours = {row["category"]: row["gpu_seconds"] / 3600 for row in found["categories"] if row["gpu_seconds"]}
    assert hours == {"billed": 120, "idle": 24, "unattributed": 48} and found["difference_slot_seconds"] == 0
    told = site("meter", "conservation", "--day", first).ok().out
    assert "4 GPUs" in told and "nothing is left over" in told


def test_the_preview_is_what_was_issued_and_a_second_run_issues_nothing(site: Site) -> None:
    preview = {row["payer"]: row["amount"] for row in site.told["preview"].json()}
    assert preview == {"acme": "96.00", "beta": "48.00", "orbit": "96.00"}
    assert all(word in site.told["run"].ok().out for word in ("INV-000001", "INV-000002", "INV-000003"))
    assert site.told["run again"].ok().out == "nothing left to invoice\n"
    assert {name: site.invoice(name)["total"] for name in preview} == preview


def test_payments_settle_exactly_partly_and_with_credit(site: Site) -> None:
    seen = site.told["payments seen"].json()
    assert len(seen) == 4 and {row["status"] for row in seen} <= {"seen", "confirmed"}
    assert "transfers, 0 reorganisations" in site.told["sync final"].ok().out
    assert site.told["reconcile"].ok().out.startswith("0 booked, 0 taken back"), "chain sync reconciled already"
    shown = {
        name: (site.invoice(name)["status"], site.invoice(name)["remaining"]) for name in ("acme", "beta", "orbit")
    }
    assert shown["acme"] == ("paid", "0.00") and shown["orbit"] == ("paid", "0.00")
    assert shown["beta"][0].startswith("open") and shown["beta"][1] == "24.00"
    (credit,) = site("tenant", "show", "orbit", "--json").json()["credits"]
    assert (credit["units"], credit["left"], credit["final"]) == (10_000, 10_000, True)
    kinds = {row["invoice"]: row["kind"] for row in site("payment", "list", "--json").json() if row["token"] == "USDC"}
    assert sorted(kinds.values()) == ["exact", "over", "partial"]


def test_the_wrong_token_waits_for_a_person(site: Site) -> None:
    (row,) = site("exception", "list", "--json").json()
    assert row["status"] == "open" and row["tenant"] == "acme" and row["suggestion"]


def test_the_audit_finds_nothing_and_the_books_balance(site: Site) -> None:
    result = site("audit", "--json").json()
    assert result["findings"] == [] and result["skipped"] == [] and "the books match anvil" in result["checked"]
    assert "not checked" not in site("audit", "--offline").ok().out
    sums: dict[str, int] = {}
    for line in site("ledger", "trial-balance", "--json").json():
        sums[line["asset"]] = sums.get(line["asset"], 0) + int(line["balance_units"])
    assert "USD" in sums and set(sums.values()) == {0}


def test_the_export_tells_the_same_as_csv_and_json(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    done = site("export", "reconciliation", "--period", site.period, "--format", "csv", "--output", target).ok()
    assert done.out == f"written to {target}\n"
    printed = site("export", "reconciliation", "--period", site.period).ok().out
    assert printed == target.read_bytes().decode()
    rows = list(csv.DictReader(printed.splitlines()))
    found = site("export", "reconciliation", "--period", site.period, "--format", "json").json()
    assert [list(row) for row in found["rows"]] == [list(row) for row in rows]
    assert [str(row["tx_hash"]) for row in found["rows"]] == [row["tx_hash"] for row in rows]
    shown = {row["tenant"]: row["difference"] for row in rows if row["token"] == "USDC"}
    assert shown == {"acme": "0.00", "beta": "-24.00", "orbit": "100.00"}


def test_a_payer_verifies_the_invoice_offline(site: Site, tmp_path: Path) -> None:
    invoice, document = site.invoice("acme"), tmp_path / "invoice.json"
    site("invoice", "show", invoice["number"], "--document", document).ok()
    pin = site("wallet", "pin", "--json").json()["pin"]
    stranger = tmp_path / "payer"  # another machine: no settings, no database
    stranger.mkdir()
    genuine = stablemeter("verify", document, "--issuer", pin, "--address", invoice["address"]).ok()
    assert "genuine: the wallet is the issuer's" in genuine.out and "the one that you were shown" in genuine.out
    assert stablemeter("verify", document, "--issuer", pin, "--json").json()["address"] == invoice["address"]

    without = stablemeter("verify", document, "--address", invoice["address"])
    assert without.code == 1 and "origin unproven" in without.out
    swapped = stablemeter("verify", document, "--issuer", pin, "--address", checksum(site.treasury))
    assert swapped.code == 1 and "NOT GENUINE" in swapped.out and "do not pay" in swapped.out
    other_pin = stablemeter("verify", document, "--issuer", "0x" + "12" * 32)
    assert other_pin.code == 1 and "is not the issuer's" in other_pin.out

    edited = tmp_path / "edited.json"
    edited.write_bytes(document.read_bytes().replace(b'"96.00"', b'"95.00"', 1))
    changed = stablemeter("verify", edited, "--issuer", pin, "--address", invoice["address"])
    assert changed.code != 0 and "genuine: the wallet is the issuer's" not in changed.out
    spaced = tmp_path / "spaced.json"
    spaced.write_text(json.dumps(json.loads(document.read_text()), indent=1))
    stablemeter("verify", spaced, "--issuer", pin).refused("canonical", code=2)


def test_signers_check_a_sweep_plan_offline(site: Site, tmp_path: Path) -> None:
    file, stranger = tmp_path / "plan.json", tmp_path / "signer"
    told = site("sweep", "plan", "anvil", "--output", file).ok().out
    assert "of anvil's coin at the present gas price" in told
    (transaction, *others) = site("sweep", "plan", "anvil", "--json").json()["transactions"]
    assert transaction["sender"] == "anyone" and transaction["treasury"] == checksum(site.treasury)
    assert site.invoice("acme")["address"] in {one["address"] for one in transaction["deposits"]}
    stranger.mkdir()
    pin = site("wallet", "pin", "--json").json()["pin"]
    genuine = stablemeter("treasury", "verify", file, "--issuer", pin).ok().out
    assert "can only bring money to the treasury of the pin" in genuine and checksum(site.treasury) in genuine
    checked = stablemeter("treasury", "verify", file, "--issuer", pin, "--json").json()["transactions"]
    assert len(checked) == 1 + len(others)
    assert set(checked[0]["addresses"]) == {one["address"] for one in transaction["deposits"]}
    swapped = tmp_path / "swapped.json"
    swapped.write_text(file.read_text().replace(transaction["to"], "0x" + "66" * 20))
    stablemeter("treasury", "verify", swapped, "--issuer", pin).refused("not the factory of the pin", code=2)
    stablemeter("treasury", "verify", file, "--issuer", "0x" + "12" * 32).refused("of another treasury", code=2)


def test_what_is_behind_a_line_is_shown(site: Site) -> None:
    number = site.invoice("beta")["number"]
    shown = site("invoice", "show", number, "--json").json()
    (line,) = shown["lines"]
    assert (line["seconds"], line["amount"], line["tenant"]) == (24 * 3600, "48.00", "beta")
    rows = site("usage", "explain", number, "1", "--json").json()
    assert sum(row["seconds"] for row in rows) == line["seconds"]
    text = site("usage", "explain", number, "1").ok().out
    assert "invoiced: 86400 s" in text and "changed since" not in text
    assert "96.00" in site("invoice", "show", site.invoice("acme")["number"]).ok().out


def test_what_is_known_of_an_address_and_a_transaction(site: Site) -> None:
    address = site.invoice("acme")["address"]
    known = site("chain", "inspect", address, "--live", "--json").json()
    assert known["is"] == "invoice" and known["invoice"] == site.invoice("acme")["number"]
    balances = {row["token"]: row["amount"] for row in known["chains"][0]["balances"]}
    assert balances["USDC"].rstrip("0").rstrip(".") == "96" and len(known["transfers"]) == 2
    transfer = site("chain", "inspect", known["transfers"][0]["tx_hash"]).ok().out
    assert "transaction" in transfer and "final" in transfer
    assert "not an address of ours" in site("chain", "inspect", "0x" + "12" * 20).ok().out
    (status,) = site("chain", "status", "--json").json()
    assert (status["chain"], status["wallet"], status["stopped"]) == ("anvil", "accepted", "")
