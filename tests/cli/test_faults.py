"""Parts that are away, wrong or talk nonsense: one line that names the part and the remedy, and nothing half-written."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from billing.core.onchain import Address, checksum
from billing.core.period import rfc3339
from tests.cli.command import Done, stablemeter
from tests.cli.scene import Site
from tests.daemon.process import daemon
from tests.parts import NO_TLS, free_port, http_server, wait_for

XPRV = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
EMPTY = "0x" + "12" * 20
"""An address without code."""


def wrong(done: Done) -> str:
    """The one thing that the doctor found wrong."""
    assert done.code == 1 and done.err == ""
    (line,) = [line for line in done.out.splitlines() if line.startswith("WRONG")]
    return line


SETTINGS: list[tuple[Mapping[str, str], tuple[str, ...]]] = [
    ({'name = "Test GPU Pty Ltd"': 'colour = "red"'}, ("issuer.colour: unknown key",)),
    ({"confirmations = 3": "confirmations = 0"}, ("chains.0.confirmations", "greater than or equal to 1")),
    ({"confirmations = 3": 'confirmations = 3\nfinality = "safe"'}, ("either confirmations or finality",)),
    ({"chain_id = 31337": "chain_id = -1"}, ("chains.0.chain_id",)),
    ({"decimals = 6": "decimals = 6.5"}, ("chains.0.tokens.0.decimals", "integer")),
    ({'treasury_kind = "eoa"': 'treasury_kind = "safe"'}, ("wallet.treasury_kind", "'contract' or 'eoa'")),
    ({'treasury_kind = "eoa"': f'treasury_kind = "eoa"\nxpub = "{XPRV}"'}, ("wallet.xpub", "treat it as exposed")),
    ({'treasury_kind = "eoa"': 'mode = "xpub"\nxpub = "xpub123"'}, ("wallet.xpub", "xpub")),
    ({'type = "prometheus"': 'type = "influx"'}, ("metering.sources.0.type", "'prometheus', 'dcgm', 'slurm', 'kubernetes' or 'csv'")),
    ({"scrape_interval_seconds = 600": "scrape_interval_seconds = 0"}, ("scrape_interval_seconds",)),
    ({"since = ": 'since = "yesterday" # '}, ("metering.sources.0.since", "'yesterday' is not a time")),
    ({"start_block = 0": "start_block = -5"}, ("chains.0.start_block",)),
    ({'name = "anvil"': 'name = "Any Chain"'}, ("chains.0.name",)),
    ({'# listen = "127.0.0.1:8480"': 'listen = "127.0.0.1:99999"'}, ("web.listen", "65535")),
    ({'# listen = "127.0.0.1:8480"': 'listen = "8480"'}, ("web.listen",)),
    ({"[web]": "[web"}, ("is no TOML",)),
    ({"[web]": "[web]\nlisten = 1\nlisten = 2"}, ("is no TOML", "line")),
    ({"url = \"http": "url = \"ftp"}, ("metering.sources.0.url", "http")),
    ({"rpc_urls = [\"http": "rpc_urls = [\"ws"}, ("chains.0.rpc_urls", "http")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), SETTINGS)
def test_a_wrong_setting_is_named(
    site: Site, tmp_path: Path, changes: Mapping[str, str], words: tuple[str, ...]
) -> None:
    other = site.variant(tmp_path, changes)
    for command in (("tenant", "list"), ("doctor",), ("run",)):
        line = other(*command).refused(*words, code=2)
        assert XPRV not in line


def test_settings_that_are_not_there_or_not_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stablemeter("--config", tmp_path / "none.toml", "tenant", "list").refused(
        "none.toml", "stablemeter init writes one", code=1
    )
    stablemeter("--config", tmp_path, "tenant", "list").refused(str(tmp_path), "cannot be read", code=2)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    stablemeter("--config", binary, "tenant", "list").refused("binary.toml is no TOML", code=2)
    monkeypatch.setenv("STABLEMETER_ISSUER__NAMES", "x")
    stablemeter("tenant", "list").refused("issuer.names: unknown key", code=2)
    monkeypatch.delenv("STABLEMETER_ISSUER__NAMES")
    monkeypatch.setenv("STABLEMETER_CHAINS", "[{")
    stablemeter("tenant", "list").refused("STABLEMETER_CHAINS", "JSON", code=2)


def test_a_database_that_is_away_or_another_thing(site: Site, tmp_path: Path) -> None:
    away = f"postgresql://someone:secret@127.0.0.1:{free_port()}/none"
    for url, words, code in (
        (away, ("the database cannot be reached", "database.url"), 1),
        ("sqlite:///x.db", ("sqlite", "postgresql://"), 2),
        ("nonsense", ("database.url is not a URL",), 2),
    ):
        other = site.variant(tmp_path, {f'url = "{site.database_url}"': f'url = "{url}"'})
        for command in (("tenant", "list"), ("db", "upgrade"), ("invoice", "run", "--period", site.period)):
            assert "secret" not in other(*command).refused(*words, code=code)
    found = site.variant(tmp_path, {f'url = "{site.database_url}"': f'url = "{away}"'})("doctor")
    assert found.code == 1 and "WRONG  database: the database cannot be reached" in found.out
    assert "ok     chain anvil" not in found.out, "a chain cannot be accepted without a database"


CHAINS: list[tuple[Mapping[str, str], tuple[str, ...], int]] = [
    ({"chain_id = 31337": "chain_id = 1"}, ("is chain 31337, but chains.anvil says 1", "mend chain_id"), 2),
    ({"decimals = 6": "decimals = 18"}, ("USDC", "has 6 decimals, not 18", "mend chains.tokens.decimals"), 2),
    ({'symbol = "USDC"': 'symbol = "USDT"'}, ("calls itself 'USDC'", "mend chains.tokens.symbol"), 2),
    ({"TOKEN": EMPTY}, ("USDC", "is no contract", "mend chains.tokens.address"), 2),
    ({"TREASURY": EMPTY}, ("the factory", "is not deployed on anvil", "chain deploy-plan anvil"), 1),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words", "code"), CHAINS)
def test_a_chain_that_is_not_the_configured_one_is_not_followed_and_not_offered(
    site: Site, tmp_path: Path, changes: Mapping[str, str], words: tuple[str, ...], code: int
) -> None:
    names = {"TOKEN": str(site.usdc), "TREASURY": str(site.treasury)}
    before = site.state()
    other = site.variant(tmp_path, {names.get(old, old): new for old, new in changes.items()})
    other("chain", "sync").refused(*words, code=code)
    line = wrong(other("doctor"))
    assert "chain anvil" in line and all(word in line for word in words)
    after = site.state()
    kept = {name for name in after if after[name] != before[name]}
    assert kept <= {"wallet_generation"}, "nothing but the wallet that was asked for is noted"


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>busy</html>", b"[]", b'{"jsonrpc":"2.0","id":1,"result":"nonsense"}', b'{"jsonrpc":"2.0","id":1,"result":null}',
     b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}', b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"two\\nlines"}}',
     b'{"jsonrpc":"2.0","id":1,"result":"0x' + b"f" * 10_000 + b'"}'],
)  # fmt: skip
def test_an_rpc_that_answers_nonsense_changes_nothing(site: Site, tmp_path: Path, answer: bytes) -> None:
    before = site.state()
    with http_server(lambda _path, _body: (200, answer)) as url:
        other = site.variant(tmp_path, {site.node_url: url})
        other("chain", "sync").refused("chain anvil: ")
        assert "chain anvil" in wrong(other("doctor"))
    assert site.state() == before


def test_an_rpc_that_lies_about_one_answer_only(site: Site, tmp_path: Path) -> None:
    """Right about everything until it is asked for blocks; then it makes something up."""
    import httpx

    def lie(_path: str, body: bytes) -> tuple[int, bytes]:
        asked = json.loads(body)
        if isinstance(asked, dict) and asked["method"] == "eth_getBlockByNumber":
            made_up = {"number": "0x-1", "hash": "0x12", "parentHash": 7, "timestamp": "soon", "logsBloom": None}
            return 200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": made_up}).encode()
        return 200, httpx.post(
            site.node_url, content=body, headers={"Content-Type": "application/json"}, verify=NO_TLS
        ).content

    before = site.state()
    with http_server(lie) as url:
        site.variant(tmp_path, {site.node_url: url})("chain", "sync").refused("chain anvil: ", code=1)
    assert site.state() == before


def test_a_treasury_without_code_is_not_accepted_until_it_is_declared_an_account(site: Site, tmp_path: Path) -> None:
    other = site.variant(tmp_path, {'treasury_kind = "eoa"': 'treasury_kind = "contract"', str(site.treasury): EMPTY})
    plan = other("chain", "deploy-plan", "anvil", "--json").json()
    assert plan["deployed"] is False and plan["treasury_kind"] == "contract"
    site.node.send(plan["to"], bytes.fromhex(plan["data"][2:]))
    other("chain", "sync").refused("the treasury", "has no code on anvil", 'treasury_kind = "eoa"', code=1)
    assert "has no code on anvil" in wrong(other("doctor"))
    site.node.request("anvil_setCode", [EMPTY, "0xef0100" + "12" * 20])
    try:
        other("chain", "sync").refused("a plain account on anvil that delegates to a contract (EIP-7702)", code=1)
    finally:
        site.node.request("anvil_setCode", [EMPTY, "0x"])


def test_the_doctor_tells_who_signs_for_the_treasury(site: Site, tmp_path: Path) -> None:
    owners = [Address(one.lower()) for one in site.node.accounts[:3]]
    signed = site.node.deploy("TestSafe", owners, 2)
    other = site.variant(tmp_path, {'treasury_kind = "eoa"': 'treasury_kind = "contract"', str(site.treasury): signed})
    plan = other("chain", "deploy-plan", "anvil", "--json").json()
    site.node.send(plan["to"], bytes.fromhex(plan["data"][2:]))
    told = other("doctor").out
    assert "a Safe, 2 of 3 sign: " in told and all(checksum(one) in told for one in owners)


def test_a_chain_that_is_away(site: Site, tmp_path: Path) -> None:
    other = site.variant(tmp_path, {site.node_url: f"http://127.0.0.1:{free_port()}"})
    other("chain", "sync").refused("127.0.0.1", code=1)
    assert "chain anvil" in wrong(other("doctor"))
    skipped = other("audit", "--json")
    assert skipped.code == 1 and "the books match anvil" in json.loads(skipped.out)["skipped"][0]
    assert other("audit", "--offline").code == 0
    other("chain", "inspect", site.invoice("acme")["address"], "--live").refused("127.0.0.1", code=1)


PAGE = b'DCGM_FI_DEV_GPU_TEMP{UUID="GPU-1",Hostname="n1",modelName="NVIDIA H100"} 30\nDCGM_FI_DEV_GPU_TEMP{UUID="GPU'
CUT = b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"UUID":"GPU-'


@pytest.mark.parametrize(
    ("status", "content", "claimed"),
    [(200, CUT, None), (200, CUT, 100_000), (200, b"", None), (500, b"<html>", None), (200, b"[]", None),
     (200, b'{"status":"error","error":"two\\nlines"}', None),
     (200, b'{"status":"success","warnings":["partial"],"data":{"resultType":"matrix","result":[]}}', None)],
)  # fmt: skip
def test_a_prometheus_that_answers_nonsense_or_half_a_page_is_not_zero_usage(
    site: Site, tmp_path: Path, status: int, content: bytes, claimed: int | None
) -> None:
    before = site.state()
    with http_server(lambda _path, _body: (status, content), claimed_length=claimed) as url:
        other = site.variant(tmp_path, {site.prometheus_url: url})
        first, second = rfc3339(site.start), rfc3339(site.month.end)
        other("meter", "collect", "--from", first, "--to", second).refused("brisbane")
        if b"warnings" not in content:  # it answers; what it answers is not whole
            assert "source brisbane" in wrong(other("doctor"))
    assert site.state() == before


def test_what_is_due_and_cannot_be_read_is_noted_and_tried_again(branch: Site, tmp_path: Path) -> None:
    other = branch.variant(tmp_path, {branch.prometheus_url: f"http://127.0.0.1:{free_port()}"})
    done = other("meter", "collect")
    assert done.code == 1 and "0 windows read" in done.out and "1 sources failed" in done.out
    (row,) = other("meter", "status", "--json").json()["sources"]
    assert "127.0.0.1" in row["failure"]


def test_an_exporter_page_cut_in_half_is_named(site: Site, tmp_path: Path) -> None:
    for content, claimed, word in ((PAGE, None, "page cut off"), (PAGE, 5000, ""), (b"", None, "empty page")):
        with http_server(lambda _path, _body, c=content: (200, c), claimed_length=claimed) as url:  # type: ignore[misc]
            more = f'[[metering.sources]]\nname = "direct"\ntype = "dcgm"\ntargets = ["{url}/metrics"]\n'
            line = wrong(site.variant(tmp_path, {}, more=more)("doctor"))
        assert "source direct" in line and url in line and word in line


def test_usage_without_a_price_is_not_invoiced(branch: Site) -> None:
    """The inventory has a model that no SKU names: the run says which, and issues nobody's invoice."""
    import psycopg

    with psycopg.connect(branch.database_url) as connection:
        connection.execute("UPDATE gpu SET model = 'NVIDIA B300' WHERE uuid = 'GPU-beta'")
    branch("invoice", "void", branch.invoice("beta")["number"], "--reason", "x").refused("has payments on it")
    for command in (("invoice", "preview", "--period", branch.period), ("invoice", "run", "--period", branch.period)):
        branch(*command).refused("NVIDIA B300", "price", code=1)


def test_folders_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    """A file stands where a folder is needed: that also stops root."""
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    other = site.variant(tmp_path, {str(site.archive): str(blocker / "archive")})
    line = wrong(other("doctor"))
    assert "archive" in line and str(blocker) in line
    embedded = tmp_path / "embedded.toml"
    embedded.write_text(f'data_dir = "{blocker / "data"}"\n')
    stablemeter("--config", embedded, "tenant", "list").refused(str(blocker), code=1)


def test_without_wallet_chain_or_source_the_commands_say_what_to_set(site: Site, tmp_path: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text(f'data_dir = "{tmp_path}"\n[database]\nurl = "{site.database_url}"\n')

    def run(*arguments: str) -> Done:
        return stablemeter("--config", bare, *arguments)

    for command in (("wallet", "show"), ("wallet", "pin")):
        run(*command).refused("no wallet is configured", "wallet.treasury", code=1)
    run("chain", "sync").refused("no chain is configured", "[[chains]]", code=1)
    run("chain", "deploy-plan", "base").refused("wallet", code=2)
    assert run("chain", "status").ok().out == "no chain is configured\n"
    found = run("doctor")
    assert found.code == 1 and [line.split()[1].rstrip(":") for line in found.out.splitlines() if "WRONG" in line] == [
        "sources", "wallet", "chains",
    ]  # fmt: skip


def test_a_running_daemon_counts_nonsense_and_goes_on(branch: Site, tmp_path: Path) -> None:
    """An exporter that cuts its pages, a Prometheus that is away, an RPC that answers nonsense: nothing stops, nothing is
    invented, and what could not be read is noted where people look."""
    with (
        http_server(lambda _path, _body: (200, b'{"jsonrpc":"2.0","id":1,"result":"nonsense"}')) as rpc,
        http_server(lambda _path, _body: (200, PAGE)) as exporter,
    ):
        changes = {branch.node_url: rpc, branch.prometheus_url: f"http://127.0.0.1:{free_port()}"}
        more = f'[[metering.sources]]\nname = "direct"\ntype = "dcgm"\ntargets = ["{exporter}/metrics"]\nscrape_interval_seconds = 1\n'
        other = branch.variant(tmp_path, changes, more=more)
        content = other.config.read_text().replace("[web]\n", "").replace("[logs]\n", "")
        branch("owner", "settle").ok()  # the daemon would: it is no invention
        before = {
            name: value for name, value in branch.state().items() if name in ("transfer", "usage", "invoice", "entry")
        }
        with daemon(tmp_path, content) as running:
            for words in ("page cut off", "is no quantity", "tick failed; it will be tried again"):
                wait_for(lambda words=words: words in running.log.read_text(), words, 60)  # type: ignore[misc]
            assert running.process.poll() is None
            assert running.stop() == 0
        assert "Traceback" not in running.log.read_text()
        after = branch.state()
        assert {name: after[name] for name in before} == before
