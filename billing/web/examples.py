"""Examples in the description of the API: what was asked and answered once, in a small world. `examples.json` is written by
`python -m tests.web.examples`, and a test asks every one of them again."""

from importlib import resources
from typing import Any

import orjson
from fastapi import FastAPI

JSON = "application/json"


def recorded() -> dict[str, dict[str, Any]]:
    """{method and path: {"query", "body", "status", "answer"}}."""
    found: dict[str, dict[str, Any]] = orjson.loads(
        resources.files("billing.web").joinpath("examples.json").read_bytes()
    )
    return found


def add_to(api: FastAPI) -> None:
    """The application describes itself with examples from now on. Routes without one are described without it."""
    plain = api.openapi

    def described() -> dict[str, Any]:
        if api.openapi_schema is None:
            whole = plain()
            for name, example in recorded().items():
                method, _, path = name.partition(" ")
                operation = whole["paths"].get(path, {}).get(method.lower())
                if operation is not None:
                    _add(operation, example)
        assert api.openapi_schema is not None
        return api.openapi_schema

    api.openapi = described  # type: ignore[method-assign]


def _add(operation: dict[str, Any], example: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        known = example["query"] if parameter["in"] == "query" else example["path"]
        if parameter["name"] in known:
            parameter["example"] = known[parameter["name"]]
    taken = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if taken is not None and example["body"] is not None:
        taken["example"] = example["body"]
    given = operation["responses"].get(str(example["status"]), {}).get("content", {}).get(JSON)
    if given is not None and example["answer"] is not None:
        given["example"] = example["answer"]
