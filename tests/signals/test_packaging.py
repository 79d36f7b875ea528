"""What is shipped to run the daemon starts commands that exist, with files that exist, and with few rights."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from billing.cli.app import app
from billing.cli.reference import walk
from billing.cli.serve import ROLES
from billing.settings import Settings
from tests.parts import program
from tests.signals.queries import commands_in

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "config" / "systemd").glob("*.service"))
COMMANDS = dict(walk(typer.main.get_command(app), ()))
CONTAINER = (ROOT / "Containerfile").read_text().replace("\\\n", " ")


def keys_of(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def require_command(words: list[str]) -> None:
    """`stablemeter ...` as the command line knows it."""
    assert Path(words[0]).name == "stablemeter"
    options = [word for word in words[1:] if word.startswith("--")]
    (verb,) = [word for word in words[1:] if (word,) in COMMANDS]
    known = {opt for one in COMMANDS[verb,].params for opt in one.opts} | {"--config"}
    assert set(options) <= known
    if "--only" in words:
        only = words[words.index("--only") + 1].replace("%i", "collector")
        assert set(only.split(",")) <= set(ROLES)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_exists(unit: Path) -> None:
    (start,) = keys_of(unit)["ExecStart"]
    require_command(shlex.split(start))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_has_few_rights_and_starts_again(unit: Path) -> None:
    keys = keys_of(unit)
    for name in (
        "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectControlGroups",
        "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "RestrictNamespaces", "RestrictRealtime",
        "RestrictSUIDSGID", "LockPersonality",
    ):  # fmt: skip
        assert keys[name] == ["yes"], name
    assert keys["ProtectSystem"] == ["strict"] and keys["CapabilityBoundingSet"] == [""]
    assert keys["User"] == ["stablemeter"] and keys["StateDirectory"] == ["stablemeter"]
    assert set(keys["RestrictAddressFamilies"][0].split()) == {"AF_INET", "AF_INET6", "AF_UNIX"}
    assert "@system-service" in keys["SystemCallFilter"]
    assert keys["Restart"] == ["on-failure"] and int(keys["RestartSec"][0]) > 0
    assert keys["Type"] == ["exec"], "the daemon does not notify"
    (credential,) = keys["LoadCredential"]
    assert f"--config %d/{credential.partition(':')[0]}" in keys["ExecStart"][0]


def test_the_template_differs_by_its_role_alone() -> None:
    whole, role = (keys_of(unit) for unit in UNITS)
    assert {name for name in whole if whole[name] != role[name]} == {"Description", "ExecStart"}
    assert set(whole) == set(role)


def test_systemd_finds_no_fault_and_little_exposure(tmp_path: Path) -> None:
    tool = program("systemd-analyze")
    stand_in = Path(program("true"))
    for unit in UNITS:
        copy = tmp_path / unit.name.replace("@.", "@collector.")
        copy.write_text(unit.read_text().replace("/opt/stablemeter/bin/stablemeter", str(stand_in)))
        done = subprocess.run([tool, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stderr == "", done.stderr
    exposed = [tool, "security", "--offline=true", "--threshold=20", str(tmp_path / "stablemeter.service")]
    done = subprocess.run(exposed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def lines(word: str) -> list[str]:
    return re.findall(rf"^{word}\s+(.+)$", CONTAINER, re.MULTILINE)


def test_the_container_copies_files_that_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    for line in lines("COPY"):
        words = line.split()
        if words[0].startswith("--from"):
            assert words[0] == "--from=build"
            continue
        for name in words[:-1]:
            assert (ROOT / name).exists() and f"!{name}" in ignored, name


def test_the_container_runs_a_command_that_exists_as_nobody_in_particular() -> None:
    (entry,), (command,) = lines("ENTRYPOINT"), lines("CMD")
    require_command(re.findall(r'"([^"]+)"', f"{entry} {command}"))
    assert 'stablemeter = "billing.cli.app:main"' in (ROOT / "pyproject.toml").read_text()
    final = CONTAINER.rpartition("\nFROM ")[2]
    assert re.search(r"^USER stablemeter$", final, re.MULTILINE) and "pip install" not in final and "apt" not in final
    assert "/healthz" in final and "HEALTHCHECK" in final


def test_the_container_sets_settings_that_exist() -> None:
    for name in re.findall(r"STABLEMETER_(\w+)=", CONTAINER):
        if name == "CONFIG":
            continue
        section, _, key = name.lower().partition("__")
        field = Settings.model_fields[section]
        assert not key or key in getattr(field.annotation, "model_fields", {}), name


def test_the_page_about_operations_types_commands_and_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for command in commands_in(text, app):
        assert command.is_known, command.typed
    for name in re.findall(r"\b(?:config|requirements)/[\w/@.-]+\w", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\((\w+\.md)\)", text):
        assert (ROOT / "docs" / name).exists(), name
