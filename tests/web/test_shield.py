"""What holds for every request: headers, limits, problems instead of tracebacks, the metric."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from billing.bootstrap import App
from billing.core.errors import Conflict, Invalid, NotFound, Unavailable, Untrusted
from billing.telemetry import metrics
from billing.tenants.keys import KeyRole
from billing.web import store
from billing.web.app import create_app
from billing.web.shield import BODY_BYTES_MAX, CONTENT_SECURITY_POLICY
from tests.web.client import Client, application, chunks, client

TENANT = {"slug": "acme", "name": "Acme", "attribution": "lease"}


@pytest.fixture
def anybody(app: App) -> Client:
    return Client(create_app(app))


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/docs",
        "/api/openapi.json",
        "/api/v1/tenants",
        "/pay/x",
        "/nothing",
        "/a%00b",
    ],
)
def test_every_answer_has_the_security_headers(anybody: Client, path: str) -> None:
    headers = anybody.get(path).headers
    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert ("noindex" in headers.get("X-Robots-Tag", "")) == path.startswith("/pay/")


def test_the_policy_allows_nothing_inline_and_nobody_else() -> None:
    for word in ("unsafe", "http", "data:", "*"):
        assert word not in CONTENT_SECURITY_POLICY
    for part in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ):
        assert part in CONTENT_SECURITY_POLICY.split("; ")


def test_static_files_are_kept_and_nothing_else_is_served_there(anybody: Client) -> None:
    for name in ("page.css", "pay.js", "mark.svg"):
        answer = anybody.get(f"/static/{name}")
        assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"]
        assert b"http://" not in answer.content.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in answer.content
    for name in ("..%2fapp.py", "app.py", "%2e%2e/app.py", "../app.py"):
        assert anybody.get(f"/static/{name}").status_code == 404


def test_unknown_paths_and_methods_are_problems(anybody: Client) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/tenants/", 404),
        ("DELETE", "/api/v1/tenants", 405),
        ("POST", "/healthz", 405),
        ("BREW", "/healthz", 405),
    ):
        answer = anybody.ask(method, path)
        assert answer.status_code == status, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == status and answer.json()["type"] == "about:blank"
    assert set(anybody.ask("DELETE", "/api/v1/tenants").headers["Allow"].split(", ")) <= {"GET", "POST"}


def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(app: App) -> None:
    operator = client(app, KeyRole.OPERATOR)
    head = {"Content-Type": "application/json"}
    for size, status in ((BODY_BYTES_MAX, 422), (BODY_BYTES_MAX + 1, 413)):
        content = b'{"name": "' + b"x" * (size - 12) + b'"}'
        assert len(content) == size
        assert operator.ask("POST", "/api/v1/tenants", content=content, headers=head).status_code == status
        chunked = operator.ask("POST", "/api/v1/tenants", content=chunks(content, 60_000), headers=head)
        assert chunked.status_code == status, "also when no length is told"
        assert chunked.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("length", ["-1", "1e3", "abc", "9" * 5000, str(BODY_BYTES_MAX + 1)])
def test_a_length_that_is_none_or_too_large_is_refused_unread(anybody: Client, length: str) -> None:
    answer = anybody.ask("POST", "/api/v1/tenants", content=chunks(b"{}", 1), headers={"Content-Length": length})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (Invalid("the thing is wrong", remedy="see: stablemeter"), 400, "the thing is wrong"),
        (NotFound("there is no thing"), 404, "there is no thing"),
        (Conflict("the thing is taken"), 409, "the thing is taken"),
        (Unavailable("https://user:secret@rpc.example did not answer"), 503, "does not answer"),
        (Untrusted("https://user:secret@rpc.example lied"), 502, "cannot be right"),
        (RuntimeError("/srv/secret.py line 1"), 500, "something went wrong here"),
        (AssertionError("impossible"), 500, "something went wrong here"),
    ],
)
def test_errors_become_their_status_and_tell_nothing_about_the_inside(
    app: App, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, detail: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    operator = client(app, KeyRole.OPERATOR)
    monkeypatch.setattr(store, "tenants", fail)
    answer = operator.get("/api/v1/tenants")
    assert answer.status_code == status and detail in answer.json()["detail"]
    assert answer.headers["Content-Type"] == "application/problem+json"
    for secret in ("secret", "Traceback", ".py", "impossible"):
        assert secret not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_a_bug_reaches_the_log_of_the_server(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is answered and raised again: what serves the application writes the traceback to its log."""
    import asyncio

    import httpx

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(store, "tenants", fail)
    operator = client(app, KeyRole.OPERATOR)

    async def go() -> None:
        transport = httpx.ASGITransport(operator.api, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as one:
            await one.get("/api/v1/tenants", headers={"Authorization": f"Bearer {operator.key}"})

    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(go())


def test_people_get_a_calm_page_when_something_is_broken(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    anybody = Client(create_app(app))
    for error, status in ((Unavailable("x"), 503), (RuntimeError("x"), 500)):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr("billing.invoicing.store.listed", fail)
            answer = anybody.get("/pay/" + "x" * 43)
            assert answer.status_code == status and answer.headers["Content-Type"].startswith("text/html")
            assert "is safe on its chain" in answer.text and "Traceback" not in answer.text
            assert anybody.get("/pay/" + "x" * 43 + "/status").headers["Content-Type"] == "application/problem+json"


def requests_counted(route: str, status: str) -> float:
    samples = [s for family in metrics.REQUESTS.collect() for s in family.samples if s.name.endswith("_count")]
    return sum(s.value for s in samples if s.labels == {"route": route, "status": status})


def test_requests_are_measured_by_template_and_status(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never by path: tokens are no labels, and paths that nobody made are one label."""
    operator = client(app, KeyRole.OPERATOR)
    wanted: dict[tuple[str, str], Callable[[], object]] = {
        ("/pay/{token}", "404"): lambda: operator.get("/pay/some-token-that-is-not-there"),
        ("unmatched", "404"): lambda: operator.get("/a/b/c"),
        ("/api/v1/tenants", "401"): lambda: Client(operator.api).get("/api/v1/tenants"),
        ("/api/v1/tenants/{slug}", "404"): lambda: operator.get("/api/v1/tenants/nobody"),
        ("unmatched", "400"): lambda: operator.get("/a%00b"),
    }
    for key, ask in wanted.items():
        before = requests_counted(*key)
        ask()
        assert requests_counted(*key) == before + 1, key

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    before = requests_counted("/api/v1/tenants", "500")
    monkeypatch.setattr(store, "tenants", fail)
    operator.get("/api/v1/tenants")
    assert requests_counted("/api/v1/tenants", "500") == before + 1
    labels = {s.labels["route"] for family in metrics.REQUESTS.collect() for s in family.samples}
    assert not any("some-token" in label for label in labels)


def test_nothing_is_shared_between_two_applications(app: App, database_url: str, tmp_path: Path) -> None:
    other = application(database_url, tmp_path / "other", issuer={"name": "Other"}, web={"public_url": "https://other"})
    one, two = create_app(app), create_app(other)
    assert one.state.wired is not two.state.wired
    assert two.state.wired.public_url == "https://other"
    other.close()


def test_the_openapi_description_names_every_api_route(anybody: Client) -> None:
    described = anybody.get("/api/openapi.json").json()
    routes = {r.path for r in anybody.api.routes if isinstance(r, APIRoute) and r.path.startswith("/api/v1/")}
    assert set(described["paths"]) == routes
    assert all("4XX" in one["responses"] for path in described["paths"].values() for one in path.values())
    listed = described["paths"]["/api/v1/tenants"]["get"]
    assert listed["security"] == [{"HTTPBearer": []}]
    page = anybody.get("/api/docs")
    assert page.status_code == 200 and all(path in page.text for path in routes)
    assert "<script" not in page.text and "style=" not in page.text and "//" not in page.text.replace("://", "")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Warnings of requests that fail on purpose go nowhere."""
    import structlog

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()
