"""What the shell gives to every page."""

from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.routing import APIRoute

from billing.bootstrap import App
from billing.core.errors import Invalid
from billing.core.money import Asset, Money
from billing.tenants.keys import KeyRole
from billing.web import format as write
from billing.web.app import create_app, require_rules
from billing.web.auth import Allow
from billing.web.deps import Web
from billing.web.desk.shell import back_to, done_once
from billing.web.door import Page, Visitor
from billing.web.forms import Form
from tests.factories import tenant
from tests.web.browser import Browser, browser

AnyTenant = Annotated[Visitor, Depends(Page(KeyRole.TENANT))]


@pytest.mark.parametrize("path", ["/portal/new", "/finance", "/operations/x", "/owner", "/account", "/home"])
def test_a_page_without_a_rule_is_not_served(path: str) -> None:
    router = APIRouter()

    @router.get(path)
    def forgotten() -> None: ...

    with pytest.raises(AssertionError, match=f"{path} has no rule"):
        require_rules(FastAPI(routes=list(router.routes)))


def test_a_page_that_takes_keys_is_not_served() -> None:
    router = APIRouter()

    @router.get("/portal/new", dependencies=[Depends(Allow(KeyRole.TENANT))])
    def mistaken() -> None: ...

    with pytest.raises(AssertionError, match="/portal/new is no page"):
        require_rules(FastAPI(routes=list(router.routes)))


@pytest.fixture
def person(app: App) -> Browser:
    """A tenant's browser, of an application with one more page, which changes something."""
    app.registrar.add(tenant("acme"), [], actor="test")
    one = browser(app, KeyRole.TENANT, tenant="acme")
    router = APIRouter()

    @router.post("/portal/deed")
    def deed(web: Web, visitor: AnyTenant) -> Response:
        def write(joined: Any) -> str:
            made.append(visitor.form.text("what"))
            return f"{made[-1]} was done, {len(made)}"

        return back_to(web, visitor, "/portal", done_once(web, visitor, write))

    made: list[str] = []
    one.api.router.routes += [route for route in router.routes if isinstance(route, APIRoute)]
    return one


def test_what_a_form_did_is_said_once(person: Browser) -> None:
    page = person.text("/portal")
    assert 'role="status"' not in page
    answer = person.post("/portal/deed", {"once": "a", "what": "<b>x</b>"})
    assert answer.status_code == 303 and answer.headers["Location"] == "/portal"
    assert "&lt;b&gt;x&lt;/b&gt; was done, 1" in person.text("/portal")
    assert "was done" not in person.text("/portal")


def test_what_somebody_else_wrote_into_the_cookie_is_not_said(person: Browser) -> None:
    person.cookies.set("stablemeter-said", "IllvdSB3b24i." + "0" * 64, domain="test.local")
    for value in ("IllvdSB3b24i." + "0" * 64, "x", "é.x", "."):
        cookie = f"stablemeter={person.cookies.get('stablemeter')}; stablemeter-said={value}"
        answer = Browser(person.api).get("/portal", headers={"Cookie": cookie.encode()})
        assert answer.status_code == 200 and 'role="status"' not in answer.text


def test_a_form_that_is_sent_twice_does_its_work_once(person: Browser) -> None:
    person.get("/portal")
    for _ in range(2):
        assert person.post("/portal/deed", {"once": "a", "what": "x"}).status_code == 303
        assert "x was done, 1" in person.text("/portal")
    assert person.post("/portal/deed", {"once": "a", "what": "other"}).status_code == 409
    assert person.post("/portal/deed", {"what": "x", "once": ""}).status_code == 400


def test_the_page_has_a_skip_link_marks_where_one_is_and_says_who_one_is(person: Browser) -> None:
    page = person.text("/portal")
    assert page.index('href="#content"') < page.index("<nav")
    assert '<a href="/portal" aria-current="page">Overview</a>' in page
    assert "Ada" in page and "acme" in page and '<html lang="en" dir="ltr">' in page


def test_unknown_pages_are_a_page(person: Browser) -> None:
    for path in ("/portal/nothing", "/finance/nothing", "/owner/nothing"):
        answer = person.get(path)
        assert answer.status_code == 404 and "There is no such page" in answer.text
    assert Browser(create_app_of(person)).get("/nothing").headers["Content-Type"] == "application/problem+json"


def create_app_of(one: Browser) -> FastAPI:
    return one.api


def test_fields_are_read_with_limits() -> None:
    form = Form({"a": [" x "], "long": ["x" * 201], "odd": ["a\u202eb"], "two": ["1", "2"], "lines": ["a\r\nb"]})
    assert form.text("a") == "x" and form.text("missing") == "" and form.many("two") == ["1", "2"]
    assert form.text("lines", lines=True) == "a\nb"
    for name, words in (("long", "200 characters"), ("odd", "cannot be printed"), ("lines", "cannot be printed")):
        with pytest.raises(Invalid, match=words):
            form.text(name)
    with pytest.raises(Invalid, match="missing is needed"):
        form.text("missing", needed=True)


def test_amounts_times_and_hours_are_written_in_one_way() -> None:
    usd = Asset("USD", 2)
    at = datetime(2026, 10, 1, 14, 3, tzinfo=UTC)
    assert write.amount(Money(123456789, usd)) == "1,234,567.89 USD"
    assert write.amount(Money(-5, usd)) == "−0.05 USD"
    assert write.units(0, 0) == "0" and write.units(1000, 3) == "1.000"
    assert write.day(at) == "1 Oct 2026" and write.moment(at) == "1 Oct 2026, 14:03 UTC" and write.day(None) == "–"
    assert write.hours(3600) == "1.0 h" and write.hours(4_500_000) == "1,250.0 h"
    assert write.short("0x1234567890abcdef") == "0x123456…cdef"


def test_create_app_serves_every_page_by_rule(app: App) -> None:
    create_app(app)
