"""Signing in, staying in, and out; and what every form passes before a handler sees it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from billing.access.login import ASKS_MAX, IDLE, LIFE, Holder
from billing.bootstrap import App
from billing.core.clock import ManualClock
from billing.core.errors import Invalid, NotFound
from billing.notices.store import Claimed, Wants, claim, spread
from billing.owners.share import Owner
from billing.tenants.keys import KeyRole
from billing.web.app import create_app
from tests.factories import tenant
from tests.web.browser import Browser, browser
from tests.web.client import application

ACME = Holder("Ada", KeyRole.TENANT, tenant="acme")


@pytest.fixture
def app(database_url: str, tmp_path: Path, clock: ManualClock) -> Iterator[App]:
    """One that sends mail."""
    made = application(database_url, tmp_path, clock, mail={"host": "127.0.0.1", "sender": "billing@pay.example"})
    yield made
    made.close()


@pytest.fixture(autouse=True)
def acme(app: App) -> None:
    app.registrar.add(tenant("acme", email="ada@acme.example"), [], actor="test")


def link(app: App, holder: Holder = ACME, minutes: int = 60) -> str:
    return httpx.URL(app.doorkeeper.issue(holder, minutes=minutes, actor="test")).path


def rows(app: App, sql: str) -> list[Any]:
    with app.database.transaction() as session:
        return list(session.execute(text(sql)))


def test_a_link_shows_whom_it_lets_in_and_its_button_opens_a_session(app: App) -> None:
    one, path = Browser(create_app(app)), link(app)
    shown = one.text(path)
    assert "Ada" in shown and "tenant acme" in shown
    answer = one.post(path)
    assert answer.status_code == 303 and answer.headers["Location"] == "/home"
    cookie = next(value for value in answer.headers.get_list("Set-Cookie") if value.startswith("stablemeter="))
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    assert one.get("/home").headers["Location"] == "/portal"
    assert "Acme" in one.text("/portal") and "Overview" in one.text("/portal")


def test_looking_at_a_link_uses_nothing_up_and_its_button_works_once(app: App) -> None:
    path, scanner = link(app), Browser(create_app(app))
    for _ in range(3):
        assert scanner.get(path).status_code == 200
        assert scanner.ask("HEAD", path).status_code in (200, 405)
    first, second = Browser(create_app(app)), Browser(create_app(app))
    for one in (first, second):
        one.get(path)
    assert first.post(path).status_code == 303
    assert second.post(path).status_code == 404
    assert second.get("/portal").headers["Location"] == "/login"
    assert "does not work any more" in second.get(path).text


def test_two_who_press_the_button_at_once_do_not_both_get_in(app: App) -> None:
    from concurrent.futures import ThreadPoolExecutor

    plain = link(app).rpartition("/")[2]
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(app.doorkeeper.enter, [plain] * 4))
    assert sum(one is not None for one in opened) == 1


def test_a_link_ends_by_itself_and_by_revoking(app: App, clock: ManualClock) -> None:
    old, revoked = link(app, minutes=5), link(app)
    clock.advance(timedelta(minutes=5))
    app.doorkeeper.revoke(revoked.rpartition("/")[2][:8], reason="lost", actor="test")
    for path in (old, revoked):
        late = Browser(create_app(app))
        late.get("/login")
        assert late.post(path).status_code == 404 and late.get(path).status_code == 404
    with pytest.raises(Invalid, match="1 to 1440 minutes"):
        link(app, minutes=1441)
    with pytest.raises(NotFound, match="no tenant nobody"):
        link(app, Holder("X", KeyRole.TENANT, tenant="nobody"))


def test_only_digests_are_kept(app: App) -> None:
    path = link(app)
    one = Browser(create_app(app))
    one.enter(path)
    kept = str(rows(app, "SELECT * FROM login_link")) + str(rows(app, "SELECT * FROM login_session"))
    kept += str(rows(app, "SELECT * FROM trail"))
    assert path.rpartition("/")[2][8:] not in kept
    assert str(one.cookies.get("stablemeter"))[8:] not in kept


@pytest.mark.parametrize("how", ["idle", "absolute", "revoked", "its link revoked", "signed out"])
def test_a_session_ends(app: App, clock: ManualClock, how: str) -> None:
    one = browser(app, KeyRole.TENANT, tenant="acme")
    assert one.get("/portal").status_code == 200
    if how == "idle":
        clock.advance(IDLE)
    elif how == "absolute":
        for _ in range(int(LIFE / timedelta(hours=7)) + 1):  # used all the time
            one.get("/portal")
            clock.advance(timedelta(hours=7))
    elif how == "signed out":
        stolen = Browser(one.api)
        stolen.cookies = httpx.Cookies(one.cookies)
        assert one.post("/logout").headers["Location"] == "/login"
        assert stolen.get("/portal").headers["Location"] == "/login", "the cookie is worth nothing any more"
    else:
        prefix = rows(app, f"SELECT prefix FROM login_{'link' if 'link' in how else 'session'}")[0][0]
        app.doorkeeper.revoke(prefix, reason="left", actor="test")
    answer = one.get("/portal")
    assert answer.status_code == 303 and answer.headers["Location"] == "/login"


def test_a_session_that_is_used_stays_open_and_writes_once_a_minute(app: App, clock: ManualClock) -> None:
    one = browser(app, KeyRole.TENANT, tenant="acme")
    seen = "SELECT seen_at, xmin FROM login_session"
    before = rows(app, seen)
    clock.advance(timedelta(seconds=59))
    one.get("/portal")
    assert rows(app, seen) == before
    clock.advance(timedelta(seconds=1))
    one.get("/portal")
    assert rows(app, seen) != before
    clock.advance(IDLE - timedelta(seconds=1))
    assert one.get("/portal").status_code == 200


def mails(app: App) -> list[Claimed]:
    """What the mail receiver would be given."""
    found = []
    with app.database.transaction() as session:
        spread(
            session, {"mail": Wants(frozenset({"login.requested"}), by_mail=True), "hook": Wants()}, app.clock.now(), 99
        )
        assert claim(session, "hook", app.clock.now()) is None, "nobody else is told"
        while (one := claim(session, "mail", app.clock.now())) is not None:
            found.append(one)
    return found


def test_a_contact_gets_a_link_by_mail_and_nobody_learns_who_is_known(app: App) -> None:
    app.owner_registrar.add(Owner("north", "North", email="Ada@Acme.example"), fee_basis_points=0, actor="test")
    pages = []
    for email in ("ADA@acme.example", "nobody@acme.example"):
        one = Browser(create_app(app))
        one.get("/login")
        answer = one.post("/login", {"email": email})
        assert answer.status_code == 200
        pages.append(answer.text)
    assert pages[0] == pages[1]
    told = mails(app)
    assert [one.email for one in told] == ["ada@acme.example", "Ada@Acme.example"], "as tenant, and as owner"
    assert all(b"/login/" not in one.content for one in told), "no link is kept in the outbox"
    link_for = app.doorkeeper.link_for(1)
    assert link_for is not None
    guest = Browser(create_app(app))
    assert guest.enter(link_for).status_code == 303 and "Acme" in guest.text("/portal")


def test_a_link_that_was_asked_for_long_ago_is_not_made_any_more(app: App, clock: ManualClock) -> None:
    app.doorkeeper.ask("ada@acme.example")
    clock.advance(timedelta(minutes=15))
    assert app.doorkeeper.link_for(1) is None


def test_one_address_is_not_flooded_and_one_asker_is_slowed_down(app: App) -> None:
    for _ in range(ASKS_MAX + 3):
        app.doorkeeper.ask("ada@acme.example")
        app.clock.advance(timedelta(seconds=1))  # type: ignore[attr-defined]
    assert len(mails(app)) == ASKS_MAX
    one = Browser(create_app(app), ("203.0.113.7", 1))
    one.get("/login")
    answers = [one.post("/login", {"email": f"x{n}@acme.example"}) for n in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) >= 1 and "text/html" in answers[-1].headers["Content-Type"]


FOREIGN: tuple[dict[str, str], ...] = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://test.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_site_is_refused(app: App, headers: dict[str, str]) -> None:
    one = browser(app, KeyRole.TENANT, tenant="acme")
    one.get("/portal")
    assert one.post("/logout", headers=headers).status_code == 403
    assert one.get("/portal").status_code == 200, "and nothing was done"


def test_a_form_without_the_token_of_this_session_is_refused(app: App) -> None:
    mine, other = (browser(app, KeyRole.TENANT, tenant="acme") for _ in range(2))
    mine.get("/portal")
    other.get("/portal")
    for token in ("", "x", "é", other.tokens["form_token"], mine.tokens["form_token"][:-1]):
        answer = mine.post("/logout", {"form_token": token})
        assert answer.status_code == 403 and "load its page again" in answer.text
    missing = mine.ask("POST", "/logout", data={"a": "b"}, headers={"Origin": "http://test"})
    assert missing.status_code == 403
    assert mine.get("/portal").status_code == 200
    assert mine.post("/logout").status_code == 303


def test_a_browser_that_tells_nothing_of_itself_needs_the_token_all_the_same(app: App) -> None:
    one = browser(app, KeyRole.TENANT, tenant="acme")
    one.get("/portal")
    assert one.ask("POST", "/logout", data={"form_token": "0" * 64}).status_code == 403
    assert one.ask("POST", "/logout", data=one.tokens).status_code == 303


def test_nobody_is_signed_in_by_a_form_of_another_site(app: App) -> None:
    path = link(app)
    victim = Browser(create_app(app))
    assert victim.ask("POST", path, data={"form_token": "x"}).status_code == 403
    victim.get(path)
    assert victim.post(path, headers={"Origin": "https://evil.example"}).status_code == 403
    assert victim.post(path).status_code == 303, "the link was not used up"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/x-www-form-urlencoded", 403),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"a=%00", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * 300, "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"a=" + b"x" * (2 << 20), "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"", "", 415),
    ],
)
def test_bodies_that_are_no_form_of_ours_are_a_page_in_words(app: App, content: bytes, kind: str, status: int) -> None:
    one = browser(app, KeyRole.TENANT, tenant="acme")
    for path in ("/logout", "/login"):
        answer = one.ask("POST", path, content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, path
        assert answer.headers["Content-Type"].startswith("text/html") and "Traceback" not in answer.text
    assert one.get("/portal").status_code == 200


@pytest.mark.parametrize("value", ["", "x", "é", "\x01", "0" * 51, "deadbeef" + "A" * 43, "a" * 5000])
def test_what_is_no_session_or_link_is_just_not_one(app: App, value: str) -> None:
    one = Browser(create_app(app))
    answer = one.get("/portal", headers={"Cookie": f"stablemeter={value}".encode()})
    assert answer.status_code == 303 and answer.headers["Location"] == "/login"
    assert one.get(f"/login/{quote(value or 'x')}").status_code in (404, 400)


@pytest.mark.parametrize("email", ["", "x", "a b@c", "@", "a@" + "b" * 300, "a@b\nc", "é@", "a@b\u202e"])
def test_what_is_no_address_is_said_so(app: App, email: str) -> None:
    one = Browser(create_app(app))
    one.get("/login")
    answer = one.post("/login", {"email": email})
    assert answer.status_code == 400 and "text/html" in answer.headers["Content-Type"]


def test_pages_of_desks_have_their_headers_and_may_send_forms_to_this_site_alone(app: App) -> None:
    one = browser(app, KeyRole.TENANT, tenant="acme")
    for path in ("/login", "/portal", "/portal/nothing", "/home", "/"):
        headers = one.get(path).headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert "form-action 'self'" in policy and "default-src 'none'" in policy and "script-src 'self'" in policy
        assert headers["Referrer-Policy"] == "same-origin" and headers["Cache-Control"] == "no-store"
        assert "noindex" in headers["X-Robots-Tag"]
    page = one.text("/portal")
    assert "style=" not in page and "<script" not in page and "<style" not in page


def test_roles_without_pages_get_no_link_and_others_see_no_pages_of_tenants(app: App) -> None:
    with pytest.raises(Invalid, match="no pages"):
        Holder("Gate", KeyRole.GATEWAY)
    for role in (KeyRole.OPERATOR, KeyRole.FINANCE, KeyRole.AUDITOR):
        answer = browser(app, role).get("/portal")
        assert answer.status_code == 403 and "not for the role" in answer.text


@pytest.fixture
def public(database_url: str, tmp_path: Path, clock: ManualClock) -> Iterator[App]:
    made = application(database_url, tmp_path, clock, web={"public_url": "https://pay.example"})
    yield made
    made.close()


def test_over_tls_cookies_are_secure_and_of_this_host_alone(public: App) -> None:
    one = Browser(create_app(public))
    path = link(public)
    answer = one.ask("GET", path)
    assert "__Host-stablemeter-guest=" in answer.headers["Set-Cookie"] and "Secure" in answer.headers["Set-Cookie"]


def test_login_cookies_do_not_open_the_api(app: App) -> None:
    assert browser(app, KeyRole.FINANCE).get("/api/v1/tenants").status_code == 401
