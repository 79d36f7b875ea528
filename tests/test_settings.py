"""Settings: unknown keys, wrong values and private keys refuse to start; the example explains every key."""

import re
import tomllib
from pathlib import Path

import pytest

from billing.cli.example import markdown, toml
from billing.core.errors import Invalid, NotFound
from billing.settings import Settings, load, refuse_private

PROMETHEUS = "[[metering.sources]]\nname='a'\ntype='prometheus'\nurl='http://x'\n"
ROOT = Path(__file__).parents[1]
PHRASE = " ".join(["test"] * 11 + ["junk"])
XPRV = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"

WEBHOOK = "[[webhooks]]\nname='a'\nurl='http://x'\nsecrets=['whsec_bm90IGEgc2VjcmV0LCBidXQgYW4gZXhhbXBsZSBvZiBvbmU=']\n"
SOURCE = "[[metering.sources]]\nname='a'\ntype="


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("STABLEMETER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(content)
    return path


def test_without_a_file_the_defaults_hold() -> None:
    settings = load()
    assert settings.web.listen == "127.0.0.1:8480" and settings.public_url == "http://127.0.0.1:8480"
    assert settings.archive_directories == [settings.data_dir / "archive"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("colour = 1", "colour: unknown key"),
        ("[wallet]\ntresury = 'x'", "wallet.tresury: unknown key"),
        ("[[chains]]\nchain_id = 1", "chains.0.name: Field required"),
        ("[issuer]\nseries = 'lower'", "issuer.series"),
        ("[wallet]\ntreasury = '0x12'", "'0x12' is not an address"),
        ("[wallet]\ntreasury = '0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'", "fails its checksum"),
        ("[wallet]\nmode = 'xpub'", "mode xpub needs wallet.xpub"),
        ("[[metering.sources]]\nname='a'\ntype='prometheus'", "a prometheus source needs url"),
        (
            "[[metering.sources]]\nname='a'\ntype='dcgm'\ntargets=['http://x']\nmax_gap_seconds=5",
            "shorter than scrape_interval",
        ),
        ("[[webhooks]]\nname='a'\nurl='ftp://x'\nsecrets=['x']", "webhooks.0.url: is no http:// or https:// URL"),
        ("[[webhooks]]\nname='a'\nurl='http://x'\nsecrets=['whsec_c2hvcnQ=']", "24 to 64 random bytes"),
        ("[[webhooks]]\nname='a'\nurl='http://x'\nsecrets=[]", "webhooks.0.secrets"),
        (f"{WEBHOOK}types=['invoice.eaten']", "webhooks.0.types.0"),
        (f"{WEBHOOK}{WEBHOOK}", "webhooks.name must be unique"),
        ("[dunning]\nremind_before_days=[3, 3]", "different whole numbers of days"),
        ("[dunning]\noverdue_days=[-1]", "different whole numbers of days"),
        (f"{PROMETHEUS}exporter='amd'", "there is no exporter table amd"),
        (f"{PROMETHEUS}metric_fallbacks=['a b']", "metric_fallbacks.0: String should match"),
        (f"{PROMETHEUS}backend='influx'", "metering.sources.0.backend"),
        ("[[metering.sources]]\nname='a'\ntype='prometheus'\nurl='http://me:pw@x'", "url holds credentials"),
        (f"{PROMETHEUS}username='me'", "username and password go together"),
        (f"{PROMETHEUS}username='me'\npassword='p'\nbearer_token='t'", "not both"),
        (f"{PROMETHEUS}client_key_file='k'", "client_key_file needs client_cert_file"),
        (f'{PROMETHEUS}bearer_token="a\\nb"', "bearer_token holds what cannot be sent"),
        (SOURCE + "'slurm'\ncommand=['sacct']\nfiles=['a']", "either command or files"),
        (SOURCE + "'slurm'\ncommand=['']", "command begins with an empty word"),
        (SOURCE + "'slurm'\ncommand='sacct -a'", "metering.sources.0.command"),
        (SOURCE + "'slurm'\ntimezone='Mars/Base'", "timezone 'Mars/Base' is not known"),
        (SOURCE + "'slurm'\ntenant_label='colour'", "account, user, partition or qos"),
        (SOURCE + "'slurm'\ngpus_per_node={'n[1-'='h100:8'}", "is no list of hosts"),
        (SOURCE + "'slurm'\ngpus_per_node={n1='many'}", "write it like 8 or h100:8"),
        (SOURCE + "'slurm'\ngpus_per_node={n1=8}", "names no type for n1"),
        (SOURCE + "'slurm'\nurl='http://x'", "url is a key of prometheus and kubernetes sources"),
        (SOURCE + "'slurm'\ngpus=8", "metering.sources.0.gpus: unknown key"),
        (SOURCE + "'kubernetes'", "a kubernetes source needs url"),
        (SOURCE + "'kubernetes'\nurl='http://x'\nfiles=['a']", "files is a key of slurm and csv sources"),
        (SOURCE + "'csv'", "a csv source needs files"),
        (SOURCE + "'prometheus'\nurl='http://x'\ncommand=['sacct']", "command is a key of slurm sources"),
        (SOURCE + "'nagios'", "metering.sources.0.type"),
        ("[web", "is no TOML"),
        ("data_dir = 7", "data_dir"),
    ],
)
def test_a_wrong_setting_is_named_on_one_line(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(Invalid, match=re.escape(words)) as caught:
        load(written(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_named_file_must_be_there() -> None:
    with pytest.raises(NotFound, match="stablemeter init writes one"):
        load(Path("nowhere.toml"))


def test_the_environment_beats_the_file_and_its_unknown_keys_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "[web]\nlisten = '127.0.0.1:1'\npublic_url = 'https://a'\n")
    monkeypatch.setenv("STABLEMETER_WEB__LISTEN", "127.0.0.1:2")
    settings = load(path)
    assert (settings.web.listen, settings.web.public_url) == ("127.0.0.1:2", "https://a")
    monkeypatch.setenv("STABLEMETER_WEBB__LISTEN", "x")
    with pytest.raises(Invalid, match="STABLEMETER_WEBB__LISTEN is no setting"):
        load(path)


@pytest.mark.parametrize("value", [XPRV, "0x" + "ab" * 32, PHRASE, "ab" * 32, " " + XPRV + "\n"])
@pytest.mark.parametrize("key", ["issuer.name", "wallet.xpub", "wallet.treasury", "web.public_url", "issuer.tax_id"])
def test_a_private_key_is_refused_wherever_it_is_written_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    section, name = key.split(".")
    path = written(tmp_path, f'[{section}]\n{name} = """{value}"""\n')
    with pytest.raises(Invalid, match="treat it as exposed") as caught:
        load(path)
    assert value.strip() not in str(caught.value) and key in str(caught.value)
    monkeypatch.setenv(f"STABLEMETER_{section.upper()}__{name.upper()}", value)
    with pytest.raises(Invalid, match="treat it as exposed") as caught:
        load()
    assert value.strip() not in str(caught.value)


def test_bare_hex_is_allowed_only_where_secrets_belong() -> None:
    refuse_private("metering.sources.0.headers.Authorization", "ab" * 32)
    refuse_private("wallet.treasury", "0x" + "ab" * 20)
    with pytest.raises(ValueError, match="64 hex digits"):
        refuse_private("wallet.treasury", "ab" * 32)
    with pytest.raises(ValueError, match="private key"):
        refuse_private("metering.sources.0.headers.Authorization", "0x" + "ab" * 32)


def test_two_sources_or_chains_of_one_name_are_refused(tmp_path: Path) -> None:
    source = "[[metering.sources]]\nname='a'\ntype='prometheus'\nurl='http://x'\n"
    with pytest.raises(Invalid, match=r"metering\.sources\.name must be unique"):
        load(written(tmp_path, source * 2))


def uncommented() -> str:
    """The example with every `# key = value` switched on."""
    return re.sub(r"(?m)^# (\[\[.*\]\]|[a-z_]+ = .*)$", r"\1", toml())


def test_the_example_parses_as_it_is_and_with_every_key_switched_on(tmp_path: Path) -> None:
    load(written(tmp_path, toml()))
    content = tomllib.loads(uncommented())
    assert set(content) == set(Settings.model_fields)
    for name, value in (("mode", "forwarder"), ("xpub", "")):
        content["wallet"][name] = value
    content["chains"][0].pop("finality")
    content["chains"][0]["bands"][0].pop("finality")
    first = content["metering"]["sources"][0]
    with pytest.raises(ValueError, match="is a key of"):
        Settings(**content)
    for name in ("command", "files", "gpus_per_node", "model", "targets"):  # keys of other types
        first.pop(name)
    Settings(**content)


def test_the_written_example_and_the_settings_page_are_current() -> None:
    assert (ROOT / "config" / "stablemeter.example.toml").read_text() == toml(), "run: make docs"
    assert (ROOT / "docs" / "settings.md").read_text() == markdown(), "run: make docs"


def test_secrets_of_a_source_are_in_no_repr(tmp_path: Path) -> None:
    token = "0123456789abcdef" * 4  # as some servers make them: no private key
    settings = load(
        written(tmp_path, f"{PROMETHEUS}bearer_token='{token}'\norg_id='fleet'\nheaders={{X-Key='sesame-open'}}")
    )
    assert token not in repr(settings) and "sesame-open" not in repr(settings)
    assert settings.metering.sources[0].bearer_token.get_secret_value() == token
