"""Writes the bytecode that the rest of the repository uses, or checks that it is still the same.

Owns: billing/wallets/forwarder_code.json, billing/demo/token_code.json and contracts/artifacts/testing.json.
Invariant: they are exactly what the pinned compiler makes of contracts/src and contracts/test.

    python contracts/build.py write    after a change of the contracts
    python contracts/build.py check    in CI: fails when the committed bytes differ
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

HERE = Path(__file__).resolve().parent
CODE_FILE = HERE.parent / "billing/wallets/forwarder_code.json"
TESTING_FILE = HERE / "artifacts/testing.json"
DEMO_FILE = HERE.parent / "billing/demo/token_code.json"

# The keyless deployment proxy: where it stands, it has this address and this code.
PROXY = {
    "address": "0x4e59b44847b379578588920cA78FbF26c0B4956C",
    "runtime_code": "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234"
    "f58015156039578182fd5b8082525050506014600cf3",
}
# The two halves of an EIP-1167 clone's code, around the 20 bytes of the implementation's address.
CLONE = {
    "init_prefix": "0x3d602d80600a3d3981f3",
    "runtime_prefix": "0x363d3d373d3d3d363d73",
    "runtime_suffix": "0x5af43d82803e903d91602b57fd5bf3",
}


def forge(*args: str) -> str:
    if not (HERE / "node_modules/@foundry-rs/forge").exists():
        raise SystemExit("forge is not installed: run `npm ci` in contracts first")
    done = subprocess.run([str(HERE / "forge"), *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"forge {args[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def artifact(source: Path) -> Json:
    name = source.stem
    made: Json = json.loads((HERE / "out" / source.name / f"{name}.json").read_text())
    return made


def nodes(tree: Any) -> Iterator[Json]:
    """Every node of a syntax tree."""
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from nodes(child)


def immutables(made: Json) -> dict[str, list[Json]]:
    """Where the runtime code holds each immutable: a left-padded 32-byte word at every offset, zero in the file."""
    names = {str(n["id"]): n["name"] for n in nodes(made["ast"]) if n.get("nodeType") == "VariableDeclaration"}
    references = made["deployedBytecode"]["immutableReferences"]
    return {names[key]: references[key] for key in sorted(references, key=int)}


def constructor(made: Json) -> list[str]:
    inputs: list[Json] = next((entry["inputs"] for entry in made["abi"] if entry["type"] == "constructor"), [])
    return [f"{i['type']} {i['name'].rstrip('_')}" for i in inputs]


def selectors(made: Json) -> dict[str, str]:
    return {name: "0x" + selector for name, selector in sorted(made["methodIdentifiers"].items())}


def inspect(contract: str, kind: str) -> dict[str, str]:
    """Topics of events, or selectors of errors, by bare name."""
    found: dict[str, str] = json.loads(forge("inspect", contract, kind, "--json"))
    return {name.split("(")[0]: "0x" + value.removeprefix("0x") for name, value in sorted(found.items())}


def forwarder_code() -> Json:
    factory = artifact(Path("ForwarderFactory.sol"))
    forwarder = artifact(Path("Forwarder.sol"))
    settings = factory["metadata"]["settings"]
    methods = factory["methodIdentifiers"]
    topics = inspect("ForwarderFactory", "events")
    package = json.loads((HERE / "package.json").read_text())
    return {
        "solc": factory["metadata"]["compiler"]["version"],
        "evm_version": settings["evmVersion"],
        "optimizer_runs": settings["optimizer"]["runs"],
        "openzeppelin": package["devDependencies"]["@openzeppelin/contracts"],
        "deployment_proxy": PROXY,
        "clone": CLONE,
        "flush_selector": "0x" + methods["flush(bytes32[],address)"],
        "address_of_selector": "0x" + methods["addressOf(bytes32)"],
        "factory_selectors": selectors(factory),
        "flushed_topic": topics["Flushed"],
        "skipped_topic": topics["Skipped"],
        "skip_reasons": next(
            [member["name"] for member in n["members"]]
            for n in nodes(factory["ast"])
            if n.get("nodeType") == "EnumDefinition" and n["name"] == "Reason"
        ),
        "factory_errors": inspect("ForwarderFactory", "errors"),
        "forwarder_errors": inspect("Forwarder", "errors"),
        "factory_constructor": constructor(factory),
        "factory_init_code": factory["bytecode"]["object"],
        "factory_runtime_code": factory["deployedBytecode"]["object"],
        "factory_immutables": immutables(factory),
        "implementation_runtime_code": forwarder["deployedBytecode"]["object"],
        "implementation_immutables": immutables(forwarder),
    }


def testing_code() -> Json:
    folders = ("src/testing", "test/tokens", "test/treasuries")
    made = {source.stem: artifact(source) for folder in folders for source in sorted((HERE / folder).glob("*.sol"))}
    return {
        name: {
            "constructor": constructor(one),
            "init_code": one["bytecode"]["object"],
            "selectors": selectors(one),
        }
        for name, one in made.items()
    }


def build() -> dict[Path, str]:
    shutil.rmtree(HERE / "out/build-info", ignore_errors=True)
    forge("build", "--force", "--build-info", "--skip", "test")  # what analyse.py reads
    testing = testing_code()
    made = {CODE_FILE: forwarder_code(), TESTING_FILE: testing, DEMO_FILE: {"TestUSD": testing["TestUSD"]}}
    return {path: json.dumps(content, indent=2) + "\n" for path, content in made.items()}


def write() -> int:
    for path, text in build().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"wrote {path.relative_to(HERE.parent)}")
    return 0


def check() -> int:
    stale = 0
    for path, text in build().items():
        committed: Json = json.loads(path.read_text()) if path.exists() else {}
        wanted: Json = json.loads(text)
        keys = [key for key in {**wanted, **committed} if wanted.get(key) != committed.get(key)]
        if keys or path.read_text() != text:
            stale = 1
            shown = ", ".join(keys) or "layout only"
            print(
                f"{path.relative_to(HERE.parent)} is not what the contracts compile to: {shown}",
                file=sys.stderr,
            )
    if stale:
        print("run `python contracts/build.py write` and commit, if the change is meant", file=sys.stderr)
    else:
        print("the committed bytecode is what the contracts compile to")
    return stale


def main(args: list[str]) -> int:
    verbs = {"write": write, "check": check}
    if len(args) != 1 or args[0] not in verbs:
        print("usage: python contracts/build.py write|check", file=sys.stderr)
        return 2
    return verbs[args[0]]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
