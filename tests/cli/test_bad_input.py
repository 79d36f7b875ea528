"""What people type wrongly: one line that names the thing and the remedy, exit code 1 or 2, and nothing half-written."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.command import stablemeter
from tests.cli.scene import Site

HUGE = "9" * 40
LONG = "x" * 100_000
Typed = tuple[tuple[str, ...], int, tuple[str, ...]]
"""(arguments, exit code, words of the error)."""

TYPED: list[Typed] = [
    # wrong use
    (("nonsense",), 2, ("No such command 'nonsense'", "stablemeter --help")),
    (("tenant", "nonsense"), 2, ("No such command 'nonsense'", "stablemeter tenant --help")),
    (("lease", "add"), 2, ("lease add", "tenant", "--help")),
    (("tenant", "list", "--colour"), 2, ("--colour",)),
    (("tenant", "add", "gamma", "--terms-days", "soon"), 2, ("--terms-days", "integer")),
    (("exception", "resolve", "x", "--as", "credit", "--reason", "r"), 2, ("integer",)),
    # tenants
    (("tenant", "add", "Not A Name"), 2, ("'Not A Name' is not a name", "a-z")),
    (("tenant", "add", LONG), 2, ("is not a name",)),
    (("tenant", "add", "acme"), 1, ("tenant acme exists already",)),
    (("tenant", "add", "gamma", "--attribution", "guess"), 2, ("'guess'", "lease", "observed")),
    (("tenant", "add", "gamma", "--country", "Germany"), 2, ("'Germany'", "two-letter")),
    (("tenant", "add", "gamma", "--email", "nobody"), 2, ("'nobody' is not an e-mail address",)),
    (("tenant", "add", "gamma", "--terms-days", "-1"), 2, ("gamma", "negative")),
    (("tenant", "add", "gamma", "--terms-days", HUGE), 2, ("gamma", "absurd")),
    (("tenant", "add", "gamma", "--reseller", "nobody"), 1, ("there is no tenant nobody", "tenant list")),
    (("tenant", "add", "gamma", "--reseller", "delta"), 2, ("delta", "one level deep")),
    (("tenant", "add", "gamma", "--reseller", "gamma"), 2, ("its own reseller",)),
    (("tenant", "add", "gamma", "--label", "fine", "--label", "beta"), 1, ("label beta means another tenant",)),
    (("tenant", "add", "gamma", "--label", ""), 2, ("a label is 1 to 253",)),
    (("tenant", "add", "gamma", "--label", "x", "--since", "yesterday"), 2, ("'yesterday' is not a time",)),
    (("tenant", "add", "gamma", "--title", "two\nlines"), 2, ("printable",)),
    (("tenant", "add", "gamma", "--legal-name", "x" * 2000), 2, ("legal name",)),
    (("tenant", "show", "nobody"), 1, ("there is no tenant nobody", "tenant list")),
    # times
    (("lease", "add", "acme", "--from", "tomorrow", "--gpu", "GPU-beta"), 2, ("'tomorrow' is not a time",)),
    (("lease", "add", "acme", "--from", "2026-13-01", "--gpu", "GPU-beta"), 2, ("'2026-13-01' is not a time",)),
    (("lease", "add", "acme", "--from", "2026-01-01T00:00:00", "--gpu", "GPU-beta"), 2, ("no offset from UTC",)),
    (("lease", "add", "acme", "--from", "0001-01-01T00:00:00+14:00", "--gpu", "GPU-beta"), 2, ("0001-01-01",)),
    (("lease", "add", "acme", "--from", "9999-12-31T23:00:00-12:00", "--gpu", "GPU-beta"), 2, ("9999-12-31",)),
    (("lease", "add", "acme", "--from", "2026-02-02", "--to", "2026-02-01", "--gpu", "GPU-beta"), 2, ("reversed",)),
    (("lease", "add", "acme", "--from", "2026-02-02", "--to", "2026-02-02", "--gpu", "GPU-beta"), 2, ("empty",)),
    # leases
    (("lease", "add", "nobody", "--from", "2026-01-01", "--gpu", "GPU-beta"), 1, ("no tenant nobody",)),
    (("lease", "add", "acme", "--from", "2026-01-01"), 2, ("needs a host or a GPU",)),
    (("lease", "add", "acme", "--from", "2026-01-01", "--gpu", "GPU-none"), 1, ("GPU-none", "device list")),
    (("lease", "add", "acme", "--from", "2026-01-01", "--host", "n9"), 1, ("n9", "device list")),
    (("lease", "add", "acme", "--from", "2020-01-01", "--gpu", "GPU-beta", "--gpu", "GPU-none"), 1, ("GPU-none",)),
    (
        ("lease", "add", "acme", "--from", "2026-01-01", "--gpu", "GPU-beta", "--reference", LONG),
        2,
        ("reference", "200"),
    ),
    (
        ("lease", "add", "acme", "--from", "2026-01-01", "--gpu", "GPU-beta", "--reference", "two\nlines"),
        2,
        ("reference", "printable"),
    ),
    (("lease", "end", "contract-9"), 1, ("no lease contract-9", "lease list")),
    (("lease", "end", "contract-1", "--at", "2020-01-01"), 2, ("contract-1 began later",)),
    (("lease", "end", "contract-1", "--at", "now"), 2, ("'now' is not a time",)),
    (("lease", "list", "--tenant", "nobody"), 1, ("no tenant nobody",)),
    # owners
    (("owner", "add", "Not A Name"), 2, ("'Not A Name' is not a name", "a-z")),
    (("owner", "add", "north"), 1, ("owner north exists already",)),
    (("owner", "add", "south", "--fee", "2.5"), 2, ("'2.5'", "basis points")),
    (("owner", "show", "nobody"), 1, ("no owner nobody", "owner list")),
    (("owner", "share", "north", "1/17", "--from", "2026-01-01", "--gpu", "GPU-beta"), 2, ("1/17", "no whole number")),
    (("owner", "share", "north", "3/2", "--from", "2026-01-01", "--gpu", "GPU-beta"), 2, ("3/2", "not between")),
    (("owner", "share", "north", "1", "--from", "soon", "--gpu", "GPU-beta"), 2, ("'soon' is not a time",)),
    (("owner", "share", "north", "1", "--from", "2026-01-01"), 2, ("needs a host or a GPU",)),
    (
        ("owner", "share", "north", "1", "--from", "2020-01-01", "--gpu", "GPU-acme"),
        1,
        ("GPU-acme 4/3", "north owns 1/3"),
    ),
    (("owner", "share", "nobody", "1", "--from", "2026-01-01", "--gpu", "GPU-beta"), 1, ("no owner nobody",)),
    (("owner", "end-share", "99", "--reason", "r"), 1, ("no share 99", "owner show")),
    (("owner", "end-share", "1", "--reason", " "), 2, ("a reason is needed",)),
    (("owner", "import", "missing.csv"), 2, ("missing.csv cannot be read",)),
    (("owner", "fee", "north", "10001", "--from", "2026-01-01", "--reason", "r"), 2, ("10001", "basis points")),
    (("owner", "statement", "nobody", "--period", "2026-10"), 1, ("no owner nobody",)),
    (("owner", "statement", "north", "--period", "October"), 2, ("'October' is not a period",)),
    (("owner", "statement", "north", "--period", "2026-10", "--format", "pdf"), 2, ("a PDF needs a file", "--output")),
    (("owner", "statement", "north", "--period", "2026-10", "--format", "doc"), 2, ("'doc' is not known", "xlsx")),
    (("owner", "payee", "north", "anvil", "0x12", "--reason", "r"), 2, ("'0x12' is not an address",)),
    (("owner", "payee", "north", "nowhere", "0x" + "12" * 20, "--reason", "r"), 1, ("no chain nowhere",)),
    (("owner", "payee", "nobody", "anvil", "0x" + "12" * 20, "--reason", "r"), 1, ("no owner nobody",)),
    (("owner", "payee", "north", "anvil", "0x" + "00" * 20, "--reason", "r"), 2, ("nobody holds the zero address",)),
    (("owner", "payee", "north", "anvil", "0x" + "12" * 20), 2, ("--reason",)),
    (("owner", "confirm-payee", "north", "anvil", "0x" + "12" * 20, "--reason", "r"), 1, ("not proposed", "payees")),
    (("owner", "payout-plan", "anvil", "--token", "DAI"), 1, ("no token DAI",)),
    (("owner", "payout-plan", "anvil", "--token", "USDC", "--owner", "nobody"), 1, ("no owner nobody",)),
    (("owner", "paid", "north", "0x12", "--reason", "r"), 2, ("'0x12' is not a 32-byte hash",)),
    # devices
    (("device", "retire", "GPU-none"), 1, ("no GPU GPU-none", "device list")),
    (("device", "retire", "GPU-beta", "--at", "2000-01-01"), 2, ("GPU-beta",)),
    # metering
    (("meter", "collect", "--from", "2026-01-01"), 2, ("--from and --to go together",)),
    (("meter", "collect", "--from", "2026-01-02", "--to", "2026-01-01"), 2, ("reversed",)),
    (("meter", "collect", "--from", "2026-01-01", "--to", "9998-01-01"), 2, ("too young for brisbane",)),
    (
        ("meter", "collect", "--from", "2026-01-01", "--to", "2026-01-02", "--source", "x"),
        1,
        ("no source is called x",),
    ),
    (("meter", "collect", "--source", "brisbane"), 2, ("--source goes with --from and --to",)),
    (("meter", "conservation", "--day", "someday"), 2, ("'someday' is not a time",)),
    (("meter", "conservation", "--day", "2026-01-02", "--to", "2026-01-01"), 2, ("reversed",)),
    (("meter", "conservation", "--day", "9999-12-31"), 2, ("9999-12-31",)),
    # periods
    (("usage", "show", "--period", "2026-13"), 2, ("'2026-13' is not a period", "like 2026-10")),
    (("usage", "show", "--period", "2026-10", "--tenant", "nobody"), 1, ("no tenant nobody",)),
    (("usage", "explain", "INV-9", "1"), 1, ("no invoice INV-9", "invoice list")),
    (("usage", "explain", "INV-000001", "7"), 1, ("INV-000001 has no line 7", "1 line")),
    (("usage", "explain", "INV-000001", HUGE), 1, ("has no line",)),
    (("usage", "explain", "INV-000001", "-1"), 2, ("-1",)),
    (("invoice", "preview", "--period", "october"), 2, ("'october' is not a period",)),
    (("invoice", "preview", "--period", "2026-10", "--tenant", "nobody"), 1, ("no tenant nobody",)),
    (("invoice", "run", "--period", ""), 2, ("is not a period",)),
    (("invoice", "run", "--period", f"{datetime.now(UTC):%Y-%m}"), 1, ("is not over before", "invoice preview")),
    (("invoice", "run", "--period", "2999-12"), 1, ("is not over before",)),
    (("invoice", "issue", "nobody", "--period", "2026-01"), 1, ("no tenant nobody",)),
    (("invoice", "show", "INV-9"), 1, ("no invoice INV-9", "invoice list")),
    (("invoice", "show", "INV-000001", "--document", "no/such/folder/x.json"), 1, ("no/such/folder/x.json", "written")),
    (("invoice", "show", "INV-000001", "--document", "."), 1, ("cannot be written",)),
    (("invoice", "list", "--status", "lost"), 2, ("'lost' is no status", "uncollectible")),
    (("invoice", "list", "--tenant", "nobody"), 1, ("no tenant nobody",)),
    (("invoice", "credit", "INV-9", "--line", "1", "--reason", "r"), 1, ("no invoice INV-9",)),
    (("invoice", "credit", "INV-000002", "--reason", "r"), 2, ("--line",)),
    (("invoice", "credit", "INV-000002", "--line", "9", "--reason", "r"), 1, ("has no line 9",)),
    (("invoice", "credit", "INV-000002", "--line", "1", "--amount", "0", "--reason", "r"), 2, ("more than nothing",)),
    (("invoice", "credit", "INV-000002", "--line", "1", "--amount", "1.001", "--reason", "r"), 2, ("1.001",)),
    (("invoice", "credit", "INV-000002", "--amount", "999999", "--reason", "r"), 1, ("only", "can still be credited")),
    (("invoice", "credit", "INV-000002", "--line", "1", "--reason", " "), 2, ("needs a reason",)),
    (("invoice", "pdf", "INV-9", "--output", "/tmp/x.pdf"), 2, ("INV-9",)),
    (("invoice", "pdf", "INV-000009", "--output", "/tmp/x.pdf"), 1, ("no invoice INV-000009",)),
    (("invoice", "pdf", "INV-CN-000009", "--output", "/tmp/x.pdf"), 1, ("no credit note INV-CN-000009",)),
    (("invoice", "pdf", "INV-000001", "--output", "/nowhere/x.pdf"), 1, ("/nowhere/x.pdf cannot be written",)),
    (("invoice", "void", "INV-9", "--reason", "r"), 1, ("no invoice INV-9",)),
    (("invoice", "void", "INV-000001", "--reason", "r"), 1, ("paid",)),
    (("invoice", "void", "INV-000002", "--reason", "r"), 1, ("INV-000002 has payments on it",)),
    (("invoice", "void", "INV-000002", "--reason", " "), 2, ("needs a reason", "--reason")),
    (("invoice", "void", "INV-000002"), 2, ("--reason",)),
    (("invoice", "void", "INV-000002", "--reason", LONG), 2, ("INV-000002", "200")),
    # chains and money
    (("chain", "sync", "mars"), 1, ("no chain mars is configured", "[[chains]]")),
    (("chain", "resume", "anvil", "--reason", "r"), 1, ("the chain is not stopped", "chain status")),
    (("chain", "deploy-plan", "mars"), 1, ("no chain mars is configured",)),
    (("chain", "inspect", "0x12"), 2, ("'0x12' is not an address",)),
    (("chain", "inspect", "0x" + "g" * 64), 2, ("is not a 32-byte hash",)),
    (("chain", "inspect", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"), 2, ("fails its checksum",)),
    (("sweep", "plan", "mars"), 1, ("no chain mars is configured",)),
    (("sweep", "plan", "anvil", "--token", "DOGE"), 1, ("anvil has no token DOGE",)),
    (("sweep", "plan", "anvil", "--min", "much"), 2, ("'much' is not an amount",)),
    (("sweep", "plan", "anvil", "--min", "-1"), 2, ("--min -1 is negative",)),
    (("sweep", "plan", "anvil", "--pin", "0x12"), 2, ("is not a 32-byte hash",)),
    (("sweep", "plan", "anvil", "--pin", "0x" + "12" * 32), 1, ("no wallet has that pin", "wallet show")),
    (("sweep", "plan", "anvil", "--max-salts", "251"), 2, ("--max-salts",)),
    (("sweep", "plan", "anvil", "--output", "no/such/x.json"), 1, ("no/such/x.json",)),
    (("treasury", "verify", "nowhere.json", "--issuer", "0x" + "12" * 32), 2, ("nowhere.json cannot be read",)),
    (("payment", "list", "--invoice", "INV-9"), 1, ("no invoice INV-9",)),
    (("exception", "resolve", "4711", "--as", "credit", "--reason", "r"), 1, ("no exception 4711", "exception list")),
    (("exception", "resolve", HUGE, "--as", "credit", "--reason", "r"), 2, ("exception resolve", "numbers")),
    (("exception", "resolve", "1", "--as", "keep", "--reason", "r"), 2, ("'keep' is no resolution", "acknowledge")),
    (("exception", "resolve", "1", "--as", "credit", "--reason", " "), 2, ("needs a reason",)),
    (("exception", "resolve", "0", "--as", "credit", "--reason", "r"), 2, ("exception resolve", "numbers")),
    (("exception", "resolve", "1", "--as", "credit", "--reason", "r", "--tenant", "nobody"), 1, ("no tenant nobody",)),
    (("exception", "resolve", "1", "2", "--as", "credit", "--reason", "r"), 2, ("for one exception", "--as apply")),
    (("exception", "resolve", "1", "--as", "refund", "--to", "INV-000001", "--reason", "r"), 2, ("without --to",)),
    (("exception", "resolve", "1", "--as", "refund", "--rate", "1", "--reason", "r"), 2, ("--rate is for money",)),
    (
        ("exception", "resolve", "1", "--as", "apply", "--to", "=5", "--reason", "r"),
        2,
        ("names no invoice and amount",),
    ),
    (("exception", "resolve", "1", "--as", "apply", "--to", "INV-000002=", "--reason", "r"), 2, ("names no invoice",)),
    (("exception", "resolve", "1", "--as", "apply", "--to", "INV-9", "--reason", "r"), 1, ("no invoice INV-9",)),
    (
        ("exception", "resolve", "1", "--as", "apply", "--to", "INV-000001", "--reason", "r"),
        1,
        ("nothing is owed on it",),
    ),
    (
        ("exception", "resolve", "1", "--as", "apply", "--to", "INV-000002=-1", "--tenant", "beta", "--reason", "r"),
        2,
        ("cannot take -1.00 USD",),
    ),
    (("exception", "show", "4711"), 1, ("no exception 4711", "--all")),
    (("invoice", "write-off", "INV-9", "--reason", "r"), 1, ("no invoice INV-9",)),
    (("invoice", "write-off", "INV-000002", "--reason", " "), 2, ("needs a reason",)),
    (("invoice", "write-off", "INV-000001", "--reason", "r"), 1, ("nothing to write off",)),
    (("payee", "propose", "acme", "0x12", "--chain", "anvil", "--reason", "r"), 2, ("'0x12' is not an address",)),
    (("payee", "propose", "acme", "0x" + "12" * 20, "--chain", "mars", "--reason", "r"), 1, ("no chain mars",)),
    (("payee", "propose", "nobody", "0x" + "12" * 20, "--chain", "anvil", "--reason", "r"), 1, ("no tenant nobody",)),
    (("payee", "confirm", "4711", "--reason", "r"), 1, ("no payee 4711", "payee list")),
    (("payee", "revoke", "4711", "--reason", "r"), 1, ("no payee 4711",)),
    (("refund", "credit", "acme", "5.00", "--reason", "r"), 1, ("acme holds 0.00 USD that can be sent back",)),
    (("refund", "credit", "acme", "much", "--reason", "r"), 2, ("'much' is not an amount",)),
    (("refund", "paid", "4711", "--tx", "0x" + "12" * 32), 1, ("no refund 4711", "refund list")),
    (("refund", "paid", "1", "--tx", "0x12"), 2, ("is not a 32-byte hash",)),
    (("refund", "plan", "mars"), 1, ("no chain mars is configured",)),
    (("tenant", "standing", "nobody"), 1, ("no tenant nobody",)),
    (("books", "close", "--period", "2099-01"), 1, ("the books of 2099-01 cannot be closed: it is not over",)),
    (("books", "close", "--period", "2026-1"), 2, ("'2026-1' is not a period",)),
    # files
    (("export", "reconciliation", "--period", "2026-1"), 2, ("'2026-1' is not a period",)),
    (("export", "reconciliation", "--period", "2026-10", "--format", "pdf"), 2, ("'pdf' is not known", "csv, json")),
    (("export", "reconciliation", "--period", "2026-10", "--output", "no/such/x.csv"), 1, ("no/such/x.csv",)),
    (("export", "journal", "--period", "2026-13"), 2, ("'2026-13' is not a period",)),
    (("export", "journal", "--period", "2026-10", "--format", "ods"), 2, ("'ods' is not known", "xlsx, beancount")),
    (
        ("export", "journal", "--period", "2026-10", "--format", "xlsx", "--output", "no/such/x.xlsx"),
        1,
        ("no/such/x.xlsx",),
    ),
    (("export", "aging", "--on", "tomorrow"), 2, ("--on", "tomorrow")),
    (("export", "aging", "--format", "beancount"), 2, ("'beancount' is not known", "csv, json, xlsx")),
    (("export", "statement", "nobody", "--period", "2026-10"), 1, ("no tenant nobody",)),
    (("price", "check", "nowhere.toml"), 2, ("nowhere.toml cannot be read", "No such file")),
    (("price", "apply", "."), 2, ("cannot be read", "directory")),
    (("init", "no/such/folder/x.toml"), 1, ("no/such/folder/x.toml cannot be written",)),
    (("verify", "nowhere.json"), 2, ("nowhere.json cannot be read",)),
    (("verify", "."), 2, ("cannot be read",)),
    # compliance
    (("compliance", "tenant", "show", "nobody"), 1, ("no tenant nobody",)),
    (("compliance", "tenant", "kyc", "acme", "--status", "fine", "--reason", "x"), 2, ("'fine' is not one of",)),
    (("compliance", "tenant", "kyc", "acme", "--status", "verified", "--reason", " "), 2, ("a reason is needed",)),
    (
        ("compliance", "tenant", "kyc", "acme", "--status", "verified", "--reason", "x", "--on", "2999-01-01"),
        2,
        ("nobody can have decided on 2999-01-01 yet",),
    ),
    (
        (
            "compliance",
            "tenant",
            "attest",
            "acme",
            "--kind",
            "end-use",
            "--granted",
            "1",
            "--expires",
            "2",
            "--reference",
            "L",
        ),
        2,
        ("--granted '1' is no day",),
    ),
    (
        ("compliance", "tenant", "revoke", "acme", "--kind", "k", "--reference", "L", "--reason", "x"),
        1,
        ("no attestation k",),
    ),
    (("export", "compliance", "--period", "2026-10", "--format", "pdf"), 2, ("'pdf' is not known",)),
    (("exception", "resolve", "1", "--as", "free", "--reason", "x"), 2, ("'free' is no resolution", "release")),
    # keys
    (("apikey", "create", "x", "--role", "king"), 2, ("'king' is no role", "auditor")),
    (("apikey", "create", "x", "--role", "tenant"), 2, ("a tenant key needs a tenant",)),
    (("apikey", "create", "x", "--role", "finance", "--tenant", "acme"), 2, ("only a tenant key has one",)),
    (("apikey", "create", "x", "--role", "tenant", "--tenant", "nobody"), 1, ("no tenant nobody",)),
    (("apikey", "create", "", "--role", "finance"), 2, ("name",)),
    (("login", "link", "--name", "x", "--role", "king"), 2, ("'king' is no role", "auditor")),
    (("login", "link", "--name", "x", "--role", "gateway"), 2, ("no pages",)),
    (("login", "link", "--name", "x", "--role", "tenant"), 2, ("needs a tenant",)),
    (("login", "link", "--name", "x", "--role", "owner", "--owner", "nobody"), 1, ("no owner nobody",)),
    (("login", "link", "--name", "x", "--role", "finance", "--minutes", "0"), 2, ("1 to 1440",)),
    (("login", "revoke", "12345678", "--reason", "x"), 1, ("no link or session 12345678", "login list")),
    (("apikey", "revoke", "12345678"), 1, ("no API key 12345678", "apikey list")),
    # the daemon
    (("run", "--only", "everything"), 2, ("--only names everything", "collector, invoicer, watcher, web")),
]


@pytest.mark.parametrize(
    ("typed", "code", "words"), TYPED, ids=lambda one: " ".join(one)[:70] if isinstance(one, tuple) else ""
)
def test_it_is_refused_on_one_line(site: Site, typed: tuple[str, ...], code: int, words: tuple[str, ...]) -> None:
    site(*typed).refused(*words, code=code)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_half_written(site: Site) -> Iterator[None]:
    """Whatever is typed in this module is refused, so not one row and not one archived byte may be another one."""
    before = site.state()
    yield
    after = site.state()
    assert {name for name in after if after[name] != before.get(name)} == set()


def test_a_nonsense_line_number_of_any_length_and_sign(site: Site) -> None:
    for line in ("0", "2", HUGE):
        site("usage", "explain", "INV-000001", line).refused("has no line", code=1)


def test_a_settings_file_is_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "mine.toml"
    target.write_text("# mine\n")
    stablemeter("init", target).refused(str(target), "exists already", code=1)
    assert target.read_text() == "# mine\n"


BOOKS = [
    ("currency = ", ("is no TOML",)),
    ("", ("currency", "sku")),
    ('currency = "dollars"\nsku = []', ("currency",)),
    ('currency = "USD"\ncolour = 1\nsku = []', ("colour",)),
    ('currency = "USD"\n[[sku]]\ncode = "x"\ntitle = "X"\nmodels = ["m"]\nprice = []', ("sku.0.price",)),
    ('currency = "USD"\n[[sku]]\ncode = "x"\ntitle = "X"\nmodels = ["m"]\n[[sku.price]]\nfrom = 2026-01-01\nper_hour = "-1"', ("per_hour",)),
    ('currency = "USD"\n[[sku]]\ncode = "x"\ntitle = "X"\nmodels = ["m"]\n[[sku.price]]\nfrom = 2026-01-01\nper_hour = 2.5', ("per_hour", "string")),
    ('currency = "USD"\n[[sku]]\ncode = "x"\ntitle = "X"\nmodels = ["m"]\n[[sku.price]]\nfrom = 2026-01-01\nper_hour = "1e9"', ("per_hour",)),
    ('currency = "USD"\n[[sku]]\ncode = "x"\ntitle = "X"\nmodels = ["m"]\n[[sku.price]]\nfrom = 2026-01-01\nper_hour = "' + HUGE + '"', ("per_hour",)),
    ('currency = "USD"\n[[sku]]\ncode = "x"\ntitle = "X"\nmodels = ["m"]\n[[sku.price]]\nfrom = 2026-01-01T00:00:00\nper_hour = "1"', ("from", "offset")),
    ('currency = "USD"\n[[sku]]\ncode = "h100"\ntitle = "X"\nmodels = ["m"]\n[[sku.price]]\nfrom = 2026-02-01\nper_hour = "1"\n[[sku.price]]\nfrom = 2026-01-01\nper_hour = "1"', ("not in order", "oldest first")),
    ("\x00", ("is no TOML",)),
]  # fmt: skip


@pytest.mark.parametrize(("content", "words"), BOOKS)
@pytest.mark.parametrize("verb", ["check", "apply"])
def test_a_malformed_price_book_is_refused_as_a_whole(
    site: Site, tmp_path: Path, verb: str, content: str, words: tuple[str, ...]
) -> None:
    book = tmp_path / "book.toml"
    book.write_text(content)
    site("price", verb, book).refused("price book" if "order" not in words[0] else "h100", *words, code=2)


def test_a_price_book_in_another_encoding_is_refused(site: Site, tmp_path: Path) -> None:
    book = tmp_path / "book.toml"
    book.write_bytes('currency = "USD" # Preisliste für März'.encode("utf-16"))
    site("price", "check", book).refused(str(book), "UTF-8", code=2)


def test_prices_of_invoiced_time_cannot_be_changed(site: Site, tmp_path: Path) -> None:
    book = tmp_path / "book.toml"
    book.write_text((site.config.parent / "pricebook.toml").read_text().replace('"2.00"', '"3.00"'))
    site("price", "apply", book).refused("h100", "change prices from", code=1)


def test_overlapping_leases_are_refused_all_or_nothing(site: Site) -> None:
    start = site.start.isoformat()
    for tenant in ("acme", "beta"):
        site("lease", "add", tenant, "--from", start, "--host", "n1").refused(
            "GPU-acme", "is let to acme", "contract-1", code=1
        )
    site("lease", "add", "beta", "--from", start, "--gpu", "GPU-beta", "--reference", "contract-1").refused(
        "contract-1 exists already", "--reference", code=1
    )


VERIFIED = [
    (b"", "JSON"),
    (b"{", "JSON"),
    (b"[]", "unknown type"),
    (b"\xff\xfe", "JSON"),
    (b"{}", "type"),
    (b'{"type":"stablemeter/invoice@99"}', "stablemeter/invoice@99"),
    (b'{"type":"stablemeter/invoice@1","type":"stablemeter/invoice@1"}', "twice"),
    (b"[" * 100_000, ""),
    (b"9" * 5000, ""),
]


@pytest.mark.parametrize(("content", "word"), VERIFIED, ids=lambda one: repr(one)[:30])
def test_what_is_no_document_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    document = tmp_path / "invoice.json"
    document.write_bytes(content)
    stablemeter("verify", document).refused(word, code=2)


def test_nonsense_beside_a_document_is_refused(site: Site, tmp_path: Path) -> None:
    document = tmp_path / "invoice.json"
    site("invoice", "show", "INV-000001", "--document", document).ok()
    stablemeter("verify", document, "--issuer", "0x12").refused("'0x12' is not a 32-byte hash", code=2)
    stablemeter("verify", document, "--address", "alice.eth").refused("'alice.eth' is not an address", code=2)
