"""The command line is comfortable: data as JSON, errors that help, completion, files that are no such files."""

import json
import tomllib
from pathlib import Path

import pytest
import typer

from billing import __version__
from billing.cli import options
from billing.cli.app import app
from billing.cli.nearest import nearest
from billing.cli.nouns import NOUNS, load
from billing.cli.reference import walk
from tests.cli.command import Done, stablemeter
from tests.cli.test_commands import KEYS

COMMANDS = dict(walk(typer.main.get_command(app), ()))
WITH_JSON = {path for path, command in COMMANDS.items() if any("--json" in one.opts for one in command.params)}
DONE = "answers with one sentence that says again what was typed, and has no result of its own"
FILE = "writes a file; its format is an option, or the file itself is the result"
LONG = "runs, and tells on standard error how it goes"
WITHOUT_JSON = {
    DONE: """apikey revoke; chain resume; chain rewind; compliance tenant attest; compliance tenant kyc;
        compliance tenant revoke; device retire; lease end; login revoke; maintenance cancel; maintenance end; meter exclusions accept;
        meter exclusions reject; owner add; owner confirm-payee; owner end-share; owner fee; owner paid; owner share;
        payee confirm; payee revoke; refund paid; tenant add; tenant cycle; tenant label; tenant prepaid; tenant set;
        wallet accept""",
    FILE: """export aging; export compliance; export journal; export reconciliation; export statement; export usage;
        init; invoice pdf; owner statement""",
    LONG: "demo; run",
}


def test_every_command_that_prints_data_has_json() -> None:
    """A command that is new here gets --json, or a reason."""
    excused = {tuple(one.split()) for some in WITHOUT_JSON.values() for one in some.split(";")}
    assert set(COMMANDS) - WITH_JSON == excused


def test_each_noun_says_of_itself_what_the_overview_says() -> None:
    for noun in NOUNS:
        assert load(noun).info.help == noun.help, noun.name
    assert len({noun.name for noun in NOUNS}) == len(NOUNS)


def test_the_overview_loads_no_noun_and_a_typing_error_finds_one() -> None:
    assert all(noun.help[:20] in stablemeter("--help").ok().out for noun in NOUNS)
    stablemeter("tennant", "list").refused("No such command 'tennant'", "'tenant'", code=2)


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert __version__ == project["version"]


def test_completion_knows_nouns_and_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_STABLEMETER_COMPLETE", "complete_bash")
    for typed, at, expected in (("stablemeter ten", "1", "tenant"), ("stablemeter tenant stan", "2", "standing")):
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", at)
        assert expected in stablemeter().out.split()


def test_the_nearest_name_is_told_and_none_when_nothing_is_near() -> None:
    assert nearest("acmee", ["beta", "acme"]) == "acme"
    assert nearest("INV-00007", ["INV-000007", "INV-000100"]) == "INV-000007"
    assert nearest("zebra", ["acme", "beta"]) == nearest("acme", []) == ""


@pytest.fixture
def empty(database_url: str, tmp_path: Path) -> Path:
    """A settings file with an empty database."""
    file = tmp_path / "stablemeter.toml"
    file.write_text(f'data_dir = "{tmp_path}"\n[database]\nurl = "{database_url}"\n')
    return tmp_path


def test_an_empty_installation_answers_every_question(empty: Path) -> None:
    """Also as JSON; or it says on one line what is missing."""
    for path in sorted(KEYS):
        command = COMMANDS[path]
        if any(one.required for one in command.params) or path in {("doctor",), ("restore",)}:
            continue
        told, as_json = stablemeter(*path), stablemeter(*path, "--json")
        if told.code == 0:
            assert told.out.strip() and json.loads(as_json.out) is not None, path
        elif told.err:
            told.refused()
            as_json.refused()


def test_names_are_nearly_right(empty: Path) -> None:
    stablemeter("tenant", "add", "acme").ok()
    stablemeter("owner", "add", "north-star").ok()
    stablemeter("tenant", "show", "acmee").refused("there is no tenant acmee; did you mean acme?")
    stablemeter("tenant", "standing", "zebra").refused("there is no tenant zebra; see: stablemeter tenant list")
    stablemeter("owner", "show", "northstar").refused("did you mean north-star?")


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "binary": (b"\x7fELF\x02\x01\x01\x00\xff\xfe\n", "UTF-8"),
    "nul": (b"owner,share\x00,from\n", "binary"),
    "column": (
        b"owner,hots,share,from\nnorth,n1,1,2026-10-01T00:00:00Z\n",
        "the column 'hots' is not known; known are",
    ),
    "cut": (b'owner,host,share,from\n"north,n1', "cut off"),
    "quotes": (b'owner,host,share,from\n"north,n1,1,2026-10-01T00:00:00Z\n', "line 2"),
    "fields": (b"owner,host,share,from\nnorth,n1\n", "line 2: 2 fields under 4 headings"),
    "header": (b"owner,host,share,from\n", "a header and no"),
    "nobody": (
        b"\xef\xbb\xbfowner,host,share,from\r\nnorth,n1,1,2026-10-01T00:00:00Z\r\n",
        "line 2: there is no owner north",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_list_of_shares_gives_one_line_with_its_name(empty: Path, name: str) -> None:
    content, words = FILES[name]
    file = empty / f"{name}.csv"
    file.write_bytes(content)
    stablemeter("owner", "import", file).refused(f"{name}.csv", words, "no share was given", code=2)


def imports(file: Path) -> list[Done]:
    commands = (
        ("owner", "import"),
        ("lease", "import"),
        ("price", "check"),
        ("price", "apply"),
        ("price", "spot", "h100"),
    )
    return [stablemeter(*command, file) for command in commands]


def test_no_importer_takes_another_ones_file_a_directory_or_what_is_not_there(empty: Path) -> None:
    for content in (b"a,b\n1,2\n", b"{}\n", b"\x80\x81\n", b"[[sku]]\n"):
        (empty / "other.txt").write_bytes(content)
        for done in imports(empty / "other.txt"):
            done.refused("other.txt", code=2)
    for place, words in ((empty / "gone.csv", "No such file"), (empty, "directory")):
        for done in imports(place):
            done.refused("cannot be read", words, code=2)


def test_a_file_of_two_gigabytes_is_refused_before_it_is_read(empty: Path) -> None:
    file = empty / "huge.csv"
    with file.open("wb") as sparse:
        sparse.truncate(2 << 30)
    assert options.FILE_BYTES_MAX < 2 << 30
    (*_, last) = [done.refused("huge.csv is larger than 64 MiB", code=2) for done in imports(file)[:1]]
    assert "several files" in last


def test_a_price_book_tells_line_and_column(empty: Path) -> None:
    file = empty / "book.toml"
    file.write_text('currency = "USD"\n[[sku]\n')
    stablemeter("price", "check", file).refused("book.toml", "line 2, column 6", code=2)


def test_a_database_that_is_not_there_or_not_ready_says_what_to_do(empty: Path) -> None:
    file = empty / "stablemeter.toml"
    file.write_text(f'data_dir = "{empty}"\n[database]\nurl = "postgresql://nobody@127.0.0.1:1/nothing"\n')
    line = stablemeter("tenant", "list").refused(code=1)
    assert "database" in line and "database.url" in line, line


def test_doing_answers_as_json_too(empty: Path) -> None:
    key = stablemeter("apikey", "create", "ci", "--role", "auditor", "--json").json()
    assert key["key"].startswith("smk_") and (key["name"], key["role"], key["tenant"]) == ("ci", "auditor", None)
    assert stablemeter("db", "check", "--json").json() == {"differences": []}
    assert stablemeter("db", "upgrade", "--json").json()["schema"]
    assert stablemeter("reconcile", "--json").json()["booked"] == 0
    assert stablemeter("owner", "settle", "--json").json() == {"lines": 0, "entries": 0, "invoices": 0}
    assert stablemeter("notice", "deliver", "--json").json() == {"delivered": 0, "failed": 0, "dead": 0}
    assert stablemeter("meter", "collect", "--json").json()["windows"] == 0
    (empty / "book.toml").write_text(
        'currency = "USD"\n[[sku]]\ncode = "h100"\ntitle = "H100"\nmodels = ["H100"]\n'
        '[[sku.price]]\nfrom = 2026-01-01\nper_hour = "2.00"\n'
    )
    checked = stablemeter("price", "check", empty / "book.toml", "--json").json()
    assert (checked["changes"][0]["sku"], checked["changes"][0]["before"]) == ("h100", None)
    assert checked["this_month_so_far"] == []
    assert stablemeter("price", "apply", empty / "book.toml", "--json").json()["changes"] == checked["changes"]
    stablemeter("tenant", "add", "acme").ok()
    given = stablemeter("tenant", "credit", "grant", "acme", "10.00", "--reason", "hello", "--json").json()
    assert (given["tenant"], given["amount"]) == ("acme", "10.00 USD")
