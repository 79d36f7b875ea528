"""Builds the web application from the wired `App`. Nothing is kept outside of it, and nothing is read at import."""

from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from billing.bootstrap import App
from billing.db import migrate
from billing.web import auth, errors, examples
from billing.web.api import (
    closes,
    compliance,
    conservation,
    credit_notes,
    cycles,
    devices,
    events,
    exceptions,
    exclusions,
    invoices,
    invoicing,
    keys,
    leases,
    ledger,
    notices,
    operations,
    owners,
    payees,
    payments,
    plans,
    prepaid,
    prices,
    reports,
    shares,
    tenants,
    usage,
)
from billing.web.bodies import Route
from billing.web.deps import Wired
from billing.web.desk import (
    entrance,
    finance,
    finance_books,
    finance_close,
    finance_deeds,
    finance_exceptions,
    finance_invoices,
    finance_reports,
    operations_audit,
    operations_chains,
    operations_coverage,
    operations_fleet,
    operations_gpu,
    operations_leases,
    operations_prices,
    owner,
    portal,
    portal_access,
    portal_money,
)
from billing.web.desk import operations as operations_desk
from billing.web.door import Page
from billing.web.pages import docs, health, pay
from billing.web.paths import needs_rule
from billing.web.render import Pages
from billing.web.shield import Shield
from billing.web.streams import Streams

API_PREFIX: Final = "/api/v1/"

ROUTERS: Final[tuple[APIRouter, ...]] = (
    health.router,
    docs.router,
    pay.router,
    tenants.router,
    cycles.router,
    prepaid.router,
    leases.router,
    exclusions.router,
    devices.router,
    usage.router,
    conservation.router,
    events.router,
    invoices.router,
    payees.router,
    payees.owed,
    credit_notes.router,
    payments.router,
    exceptions.router,
    reports.router,
    closes.router,
    owners.router,
    keys.router,
    shares.router,
    compliance.router,
    prices.router,
    invoicing.router,
    ledger.router,
    operations.router,
    notices.router,
    plans.router,
    entrance.router,
    portal.router,
    portal_money.router,
    portal_access.router,
    owner.router,
    operations_desk.router,
    operations_fleet.router,
    operations_gpu.router,
    operations_coverage.router,
    operations_chains.router,
    operations_leases.router,
    operations_prices.router,
    operations_audit.router,
    finance.router,
    finance_invoices.router,
    finance_deeds.router,
    finance_exceptions.router,
    finance_close.router,
    finance_books.router,
    finance_reports.router,
)


def create_app(app: App) -> FastAPI:
    """The ASGI application. Parts of `app` are built here, once, so that no two requests race to build them."""
    api = FastAPI(
        title="Stablemeter",
        version="1",
        summary="GPU-hours, invoices and the stablecoin payments that settle them.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        routes=[route for router in ROUTERS for route in router.routes],
    )
    wired = Wired(app, Pages(), migrate.newest())
    wired.streams = Streams(pay.Versions(wired))
    api.state.wired = wired
    api.state.ending = wired.streams.close
    examples.add_to(api)
    require_rules(api)
    errors.install(api)
    api.add_middleware(Shield)
    return api


def require_rules(api: FastAPI) -> None:
    """A route of the API, or a page behind sign-in, without a rule about who may see it is a bug, and nothing is served with it.
    Just so a route of the API that reads bodies in its own way."""
    for route in api.routes:
        if isinstance(route, APIRoute) and needs_rule(route.path):
            assert auth.rule_of(route) is not None, f"{route.path} has no rule"
            assert route.path.startswith(API_PREFIX) or isinstance(auth.rule_of(route), Page), (
                f"{route.path} is no page"
            )
            assert isinstance(route, Route) or not route.path.startswith(API_PREFIX), f"{route.path} is no API route"
