"""The examples of the API's description are true: each is asked again, and is what the description says."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from billing.bootstrap import App
from billing.web import examples
from billing.web.app import API_PREFIX, create_app
from tests.web.examples import BY_HAND, record
from tests.web.scene import Scene
from tests.web.test_auth import RULES


def routes(app: App) -> Iterator[tuple[str, APIRoute]]:
    for route in create_app(app).routes:
        if isinstance(route, APIRoute) and route.path.startswith(API_PREFIX):
            yield f"{min(route.methods or ())} {route.path}", route


def shape(value: Any) -> Any:
    """The names of all fields, and the kinds of their values; null and text are one kind, as are all numbers."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return "number" if isinstance(value, int) else "text"


def test_every_example_is_asked_again_and_answered_alike(scene: Scene) -> None:
    """Written anew with: python -m tests.web.examples."""
    kept, now = examples.recorded(), record(scene)
    assert set(kept) == set(now) == {f"{method} {path}" for method, path in RULES}
    for name, one in now.items():
        before = kept[name]
        assert (before["status"], before["path"].keys(), before["query"], before["body"]) == (
            one["status"], one["path"].keys(), one["query"], one["body"],
        ), name  # fmt: skip
        assert shape(before["answer"]) == shape(one["answer"]), name


def test_examples_are_what_the_description_says(app: App) -> None:
    kept = examples.recorded()
    for name, route in routes(app):
        one = kept[name]
        if route.body_field is not None and one["body"] is not None and "events" not in name:
            assert route.body_field.field_info.annotation is not None
            TypeAdapter(route.body_field.field_info.annotation).validate_python(one["body"])
        if route.response_model is not None:
            TypeAdapter(route.response_model).validate_python(one["answer"])
            assert one["status"] == (route.status_code or 200), name


def test_the_description_has_an_example_and_words_for_every_route(app: App) -> None:
    described = create_app(app).openapi()
    for name, route in routes(app):
        method, _, path = name.partition(" ")
        operation = described["paths"][path][method.lower()]
        assert operation["summary"] and operation["tags"], name
        taken = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert taken is None or "example" in taken, name
        if route.response_model is not None:
            given = operation["responses"][str(route.status_code or 200)]["content"]["application/json"]
            assert given["example"] is not None, name
        for parameter in operation.get("parameters", ()):
            assert "example" in parameter or not parameter["required"], (name, parameter["name"])


@pytest.mark.parametrize("place", sorted(BY_HAND))
def test_what_was_written_by_hand_is_of_a_route(place: tuple[str, str]) -> None:
    assert place in RULES
