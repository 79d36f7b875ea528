"""Schemathesis plays every route of the API from its own description: whatever is sent, the answer is one that is described.

A few examples for each route; STABLEMETER_EXAMPLES=500 in the environment asks for as many.
"""

import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from billing.core.clock import ManualClock
from billing.owners.share import Owner
from billing.tenants.keys import KeyRole
from billing.web.app import API_PREFIX, create_app
from billing.web.auth import rule_of
from billing.web.errors import MEDIA_TYPE
from tests.factories import at
from tests.owners.test_settler import own, settle
from tests.web.client import Client, application
from tests.web.scene import Scene

EXAMPLES: Final = int(os.environ.get("STABLEMETER_EXAMPLES", "2"))
CHECKS: Final = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
METHODS: Final = {"GET", "POST", "PUT", "PATCH", "DELETE"}
SETTINGS: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=EXAMPLES < 100,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[FastAPI]:
    """A small business: an invoice that was paid, an owner, a deposit address, keys of every role."""
    clock = ManualClock(at(24, day=31))
    app = application(database_url, tmp_path, clock)
    scene = Scene(app, clock)
    (invoice,) = scene.invoiced("acme")
    scene.deposit("acme")
    app.owner_registrar.add(Owner("acme", "Acme"), actor="test")
    own(scene, "acme", "GPU-acme")
    scene.pay(invoice, 20_000_000)
    scene.mine(3)
    settle(scene)
    yield create_app(app)
    app.close()


def keys(api: FastAPI) -> dict[str, str]:
    """{method and path: a key that may ask it}."""
    registrar = api.state.wired.registrar
    roles = {
        role: registrar.create_key(
            name=role.value,
            role=role,
            tenant="acme" if role is KeyRole.TENANT else "",
            owner="acme" if role is KeyRole.OWNER else "",
            actor="t",
        )
        for role in KeyRole
    }
    found: dict[str, str] = {}
    for route in api.routes:
        if isinstance(route, APIRoute) and route.path.startswith(API_PREFIX):
            rule = rule_of(route)
            assert rule is not None
            role = next(one for one in KeyRole if one in rule.roles)
            found |= {f"{method} {route.path}": roles[role] for method in route.methods or ()}
    return found


def refusal_is_a_problem(response: Response) -> None:
    """Problem details, whatever was wrong. What fails inside is a bug; what is remote and does not answer says when to ask again."""
    if response.status_code < HTTPStatus.BAD_REQUEST:
        return
    assert response.headers["content-type"] == [MEDIA_TYPE], response.headers
    told = orjson.loads(response.content)
    assert told["status"] == response.status_code and told["title"] and told["type"] == "about:blank", told
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE and "retry-after" in response.headers, told


def played(cases: SearchStrategy[Any], headers: dict[str, str]) -> list[str]:
    """What is wrong with the answers to some cases."""

    @SETTINGS
    @given(case=cases)
    def play(case: Any) -> None:
        response = case.call(headers=headers)
        refusal_is_a_problem(response)
        case.validate_response(response, checks=CHECKS)

    try:
        play()
    except Unsatisfiable:  # nothing can be wrong with what takes nothing
        return []
    except BaseExceptionGroup as errors:
        return [str(error) for error in errors.exceptions]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def test_whatever_is_sent_the_answer_is_one_that_is_described(api: FastAPI) -> None:
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", api)
    allowed, wrong = keys(api), []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        headers = {"Authorization": f"Bearer {allowed[f'{operation.method.upper()} {operation.path}']}"}
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            wrong += [
                f"{operation.label}: {one}" for one in played(operation.as_strategy(generation_mode=mode), headers)
            ]
    assert not wrong, "\n\n".join(wrong)


def places(api: FastAPI) -> dict[str, set[str]]:
    """{path: its methods}."""
    found: dict[str, set[str]] = {}
    for route in api.routes:
        if isinstance(route, APIRoute) and route.path.startswith(API_PREFIX):
            found.setdefault(route.path, set()).update(route.methods or ())
    return found


def test_without_a_key_and_with_another_method_everything_is_refused(api: FastAPI) -> None:
    nobody = Client(api)
    for path, methods in places(api).items():
        url = path.format_map(Anything())
        for method in methods:
            answer = nobody.ask(method, url)
            assert (answer.status_code, answer.headers["content-type"]) == (401, MEDIA_TYPE), (method, path)
        same = set().union(*(known for other, known in places(api).items() if matches(api, other, url)))
        for method in METHODS - same:
            answer = nobody.ask(method, url)
            assert (answer.status_code, answer.headers["content-type"]) == (405, MEDIA_TYPE), (method, path)
            assert answer.headers["allow"]


class Anything(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "1"


def matches(api: FastAPI, path: str, url: str) -> bool:
    """Is this URL one of that path?"""
    return any(
        route.path_regex.match(url) is not None
        for route in api.routes
        if isinstance(route, APIRoute) and route.path == path
    )
