"""Size, names and docstrings of every module, so that the next reader finds the flow in the folders."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "billing"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
CONCERNS = sorted(path for path in PACKAGE.glob("*/__init__.py"))
LINES_MAX, FUNCTION_LINES_MAX, PARAMETERS_MAX = 400, 60, 6
VAGUE = {"utils", "helpers", "common", "manager", "base", "misc"}
FLOAT_FREE = ("core", "pricing", "invoicing", "ledger", "reconciliation", "metering", "reports")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short_named_and_explained(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= LINES_MAX
    assert path.stem not in VAGUE
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "a module says what it owns"
    for function in functions(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= FUNCTION_LINES_MAX, f"{function.name} has {length} lines"
        arguments = [a.arg for a in [*function.args.args, *function.args.kwonlyargs] if a.arg not in ("self", "cls")]
        if "cli" not in path.parts and "web" not in path.parts:  # their parameters are options and dependencies
            assert len(arguments) <= PARAMETERS_MAX, f"{function.name} takes {arguments}"


@pytest.mark.parametrize("path", CONCERNS, ids=name_of)
def test_a_concern_says_what_it_owns(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    for word in ("Owns:", "Does not own:", "Invariants:"):
        assert word in docstring
    assert docstring.count("\n") < 25


@pytest.mark.parametrize("folder", FLOAT_FREE)
def test_money_time_and_quantity_know_no_float(folder: str) -> None:
    for path in (PACKAGE / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "float", f"{name_of(path)} calls float()"
            if isinstance(node, ast.Constant):
                assert not isinstance(node.value, float), f"{name_of(path)} has the float {node.value}"
