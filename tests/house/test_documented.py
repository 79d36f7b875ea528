"""What is offered is documented, and what is documented is offered."""

import ast
import re
from pathlib import Path

import pytest

from billing.cli.reference import pages
from tests.house.states import PAGE, rendered

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "billing"


@pytest.mark.parametrize("name", sorted(pages()))
def test_pages_made_from_the_code_are_current(name: str) -> None:
    assert (ROOT / name).read_text() == pages()[name], "run: make docs"


def test_the_diagrams_of_lifecycles_are_current() -> None:
    assert rendered(PAGE.read_text()) == PAGE.read_text(), "run: make states"


def test_the_readme_shows_the_two_commands_and_every_noun() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make run" in readme and "make test" in readme
    for name in ("docs/settings.md", "docs/metrics.md", "docs/cli.md", "ARCHITECTURE.md", "docs/document.md"):
        assert name in readme and (ROOT / name).exists()


def test_every_account_and_entry_kind_is_in_the_posting_table() -> None:
    from billing.ledger import account
    from billing.ledger.entry import EntryKind

    text = (ROOT / "ARCHITECTURE.md").read_text()
    accounts = [value for name, value in vars(account).items() if name.isupper() and isinstance(value, str)]
    for word in (*accounts, *EntryKind, "allocation", "opening", "revenue:", "deposit:", "treasury:", "held:"):
        assert f"`{word}" in text, f"ARCHITECTURE.md does not explain {word}"


def test_nothing_outside_the_demo_can_send_a_transaction_and_nothing_at_all_can_sign() -> None:
    """The import rule keeps signing libraries out; this keeps the methods out that make a node sign."""
    for path in PACKAGE.rglob("*.py"):
        words = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for word in words:
            assert not re.search(r"eth_sign|personal_|eth_sendRaw", word), f"{path.name}: {word[:60]}"
            if "eth_sendTransaction" in word:
                assert path.parent.name == "demo", f"{path.name} can send a transaction"


def test_no_file_names_a_registry_or_a_path_of_this_machine() -> None:
    """Lock files carry no download addresses; nothing points outside the repository."""
    for path in [
        *ROOT.glob("requirements/*"),
        *ROOT.glob("*/*/package-lock.json"),
        ROOT / "contracts" / "package-lock.json",
        ROOT / "pyproject.toml",
    ]:
        content = path.read_text()
        assert '"resolved"' not in content and "index-url" not in content and "registry." not in content
