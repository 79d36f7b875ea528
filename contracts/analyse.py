"""Runs Slither over the contracts. Each of its findings is answered in findings.toml, or it fails; so does an answer to nothing.

An answer names the code that it is about: one call in a loop that was answered excuses no second one in the same function.
It reads what build.py compiled, and needs no compiler of its own.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SLITHER = HERE.parent / ".venv/slither/bin/slither"
LEFT_OUT = "node_modules|src/testing|test/"

Finding = tuple[str, str, tuple[str, ...]]
"""(detector, function or parameter, the expressions that it is about)."""


def findings() -> Counter[Finding]:
    """Everything that Slither finds in what we wrote. The same may be found several times."""
    (forge,) = HERE.glob("node_modules/@foundry-rs/forge-*-*/bin")
    done = subprocess.run(
        [str(SLITHER), ".", "--ignore-compile", "--filter-paths", LEFT_OUT, "--json", "-"],
        cwd=HERE,
        env={**os.environ, "PATH": f"{forge}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"slither failed:\n{done.stderr[-4000:]}") from None
    if not told.get("success"):
        raise SystemExit(f"slither failed: {told.get('error')}")
    return Counter((one["check"], _place(one), _code(one)) for one in told["results"].get("detectors", []))


def answers() -> Counter[Finding]:
    answered = tomllib.loads((HERE / "findings.toml").read_text())["finding"]
    if blank := [one["place"] for one in answered if not one["answer"].strip()]:
        raise SystemExit(f"contracts/findings.toml has no answer for {', '.join(blank)}")
    return Counter((one["check"], one["place"], tuple(one["code"])) for one in answered)


def _place(finding: dict[str, Any]) -> str:
    """The contract and function, or variable, that a finding is about."""
    element = finding["elements"][0]
    parent = element.get("type_specific_fields", {}).get("parent", {})
    if element["type"] == "variable":  # a parameter: named by the function that takes it
        above = parent.get("type_specific_fields", {}).get("parent", {})
        return f"{above.get('name')}.{parent.get('name')}.{element['name']}"
    return f"{parent.get('name')}.{element['name']}"


def _code(finding: dict[str, Any]) -> tuple[str, ...]:
    """The expressions that a finding is about, as Slither writes them; an assembly block has no name."""
    return tuple(sorted(one["name"] for one in finding["elements"] if one["type"] == "node"))


def main() -> int:
    found, answered = findings(), answers()
    for check, place, code in sorted((found - answered).elements()):
        print(
            f"slither: {check} in {place}, of {list(code)}: mend it, or answer it in contracts/findings.toml",
            file=sys.stderr,
        )
    for check, place, code in sorted((answered - found).elements()):
        print(f"slither does not find {check} in {place}, of {list(code)}: take the answer out", file=sys.stderr)
    if found != answered:
        return 1
    print(f"slither: {found.total()} findings, each answered in contracts/findings.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
