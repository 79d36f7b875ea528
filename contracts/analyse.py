"""Runs Slither over the contracts. Each of its findings is answered in findings.toml, or it fails; so does an answer to nothing.

It reads what build.py compiled, and needs no compiler of its own.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SLITHER = HERE.parent / ".venv/slither/bin/slither"
LEFT_OUT = "node_modules|src/testing|test/"


def findings() -> set[tuple[str, str]]:
    """(detector, function or contract) of everything that Slither finds in what we wrote."""
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
    return {(one["check"], _place(one)) for one in told["results"].get("detectors", [])}


def _place(finding: dict[str, Any]) -> str:
    """The contract and function, or variable, that a finding is about."""
    element = finding["elements"][0]
    parent = element.get("type_specific_fields", {}).get("parent", {})
    if element["type"] == "variable":  # a parameter: named by the function that takes it
        above = parent.get("type_specific_fields", {}).get("parent", {})
        return f"{above.get('name')}.{parent.get('name')}.{element['name']}"
    return f"{parent.get('name')}.{element['name']}"


def main() -> int:
    answered = {(one["check"], one["place"]) for one in tomllib.loads((HERE / "findings.toml").read_text())["finding"]}
    found = findings()
    for check, place in sorted(found - answered):
        print(f"slither: {check} in {place}: mend it, or answer it in contracts/findings.toml", file=sys.stderr)
    for check, place in sorted(answered - found):
        print(f"slither does not find {check} in {place} any more: take the answer out", file=sys.stderr)
    if found != answered:
        return 1
    print(f"slither: {len(found)} findings, each answered in contracts/findings.toml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
