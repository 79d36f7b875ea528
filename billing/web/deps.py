"""What handlers are given: the wired application, and lists page by page."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from billing.access.doorkeeper import Doorkeeper
from billing.audit.auditor import Auditor
from billing.bootstrap import App
from billing.chain.tokens import Listing as TokenListing
from billing.chain.watcher import Chain, Watcher
from billing.closing.closer import Closer
from billing.compliance.screener import Screener
from billing.core.clock import Clock
from billing.core.errors import Invalid
from billing.db.engine import Database
from billing.events.ingester import Ingester
from billing.events.meter import Meter
from billing.events.reporter import EventReporter
from billing.invoicing.archive import Archive
from billing.invoicing.depositor import Depositor
from billing.invoicing.drafter import Drafter
from billing.invoicing.forecaster import Forecaster
from billing.invoicing.issuer import Issuer
from billing.invoicing.noter import Noter
from billing.metering.reporter import MeterReporter
from billing.notices.store import Wants
from billing.owners.payer import Payer
from billing.papers.printer import Printer
from billing.pricing.rater import Rater
from billing.reports.owner_printer import OwnerPrinter
from billing.reports.reporter import Reporter
from billing.signals.gauger import Gauger
from billing.tenants.registrar import Registrar
from billing.treasury.payee import Screen
from billing.treasury.planner import Planner
from billing.treasury.repayer import Repayer
from billing.wallets.accepter import Accepter
from billing.wallets.wallet import ForwarderWallet, Wallet
from billing.web import limits
from billing.web.languages import Languages, Spoken
from billing.web.limits import Limiter
from billing.web.render import Pages
from billing.web.streams import Streams

LIMIT_MAX: Final = 200
_CURSOR = re.compile(r"([a-z]{1,20}):(\d{1,18})")

T = TypeVar("T")


class Wired:
    """The parts of the application that the web uses. Built once, before the first request."""

    def __init__(self, app: App, pages: Pages, schema: str) -> None:
        self.database: Database = app.database
        self.clock: Clock = app.clock
        self.registrar: Registrar = app.registrar
        self.ingester: Ingester = app.ingester
        self.reporter: Reporter = app.reporter
        self.closer: Closer = app.closer
        self.depositor: Depositor = app.depositor
        self.forecaster: Forecaster = app.forecaster
        self.noter: Noter = app.noter
        self.printer: Printer = app.printer
        self.gauger: Gauger = app.gauger
        self.owner_printer: OwnerPrinter = app.owner_printer
        self.chains: dict[int, Chain] = {chain.chain_id: chain for chain in app.chains}
        self.tokens: dict[tuple[int, str], tuple[str, int]] = {
            (token.chain_id, token.address): (token.symbol, token.decimals) for token in app.tokens
        }
        self.offered = frozenset(
            (token.chain_id, str(token.address)) for token in app.tokens if token.listing is TokenListing.ACCEPT
        )
        self.public_url = app.settings.public_url
        self.suspend_after = app.suspend_after
        self.doorkeeper: Doorkeeper = app.doorkeeper
        self.issuer_name = app.settings.issuer.name
        self.sends_mail = bool(app.settings.mail.host)
        self.asks = Limiter(limits.ASKS_AT_ONCE, limits.ASKS_PER_SECOND)
        self.by_key = Limiter(limits.KEY_BURST, limits.KEY_PER_SECOND)
        self.rules = app.rules
        self.pages, self.schema = pages, schema
        self.streams: Streams  # it looks through this: it is set when the application is put together
        self._app, self._building = app, Lock()
        self._put_to_work(app)

    def _put_to_work(self, app: App) -> None:
        """What acts, each by its use case's name."""
        self.rater: Rater = app.rater
        self.issuer: Issuer = app.issuer
        self.drafter: Drafter = app.drafter
        self.wallet: Wallet | None = app.wallet
        self.screener: Screener = app.screener
        self.auditor: Auditor = app.auditor
        self.accepter: Accepter = app.accepter
        self.meters: tuple[Meter, ...] = app.meters
        self.meter_reporter: MeterReporter = app.meter_reporter
        self.event_reporter: EventReporter = app.event_reporter
        self.receivers: dict[str, Wants] = app.wants
        self.planner: Planner = app.planner
        self.repayer: Repayer = app.repayer
        self.payer: Payer = app.payer
        self.treasury = app.wallet.treasury if isinstance(app.wallet, ForwarderWallet) else None
        self.screen: Screen = app.screener.payee_on
        self.archive: Archive = app.archive
        self.accepted_pin: str = "" if app.wallet is None else app.wallet.pin()

    def watchers(self) -> Mapping[int, Watcher]:
        """Built late: only the page about endpoints asks, and it loads the chain libraries."""
        with self._building:
            return self._app.watchers


async def _wired(request: Request) -> Wired:
    wired = request.app.state.wired
    assert isinstance(wired, Wired)
    return wired


Web = Annotated[Wired, Depends(_wired)]

IN_LANGUAGE: Final = {"Vary": "Accept-Language"}
"""For every answer that depends on who reads it."""


def language_of(request: Request) -> Spoken:
    """What `?lang=` asks for, else what the browser likes, else English."""
    languages: Languages = request.app.state.wired.pages.languages
    asked = request.query_params.get("lang", "")
    return languages.choose(asked, request.headers.get("accept-language", ""))


InLanguage = Annotated[Spoken, Depends(language_of)]


class PageQuery(BaseModel):
    """What every list takes. An unknown parameter is refused: a misspelt filter must not list everything."""

    model_config = ConfigDict(extra="forbid")

    cursor: str = Field(default="", max_length=100, description="next_cursor of the page before")
    limit: int = Field(default=50, ge=1, le=LIMIT_MAX, description="How many items at most")

    def after(self, kind: str) -> int:
        """The row after which this page begins. Raises Invalid for a cursor that this list never gave."""
        return cursor_row(kind, self.cursor) if self.cursor else 0


class Listing(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """A page's rows and the cursor of the next page."""

    rows: Sequence[T]
    next_cursor: str | None


def sliced(kind: str, found: Sequence[tuple[int, T]], limit: int) -> Slice[T]:
    """A page out of (row id, row) pairs of which one more than `limit` was asked for."""
    page = found[:limit]
    more = len(found) > limit
    return Slice([row for _, row in page], cursor_text(kind, page[-1][0]) if more else None)


def cursor_text(kind: str, row_id: int) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{row_id}".encode()).decode().rstrip("=")


def cursor_row(kind: str, cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        text = ""
    match = _CURSOR.fullmatch(text)
    if match is None or match.group(1) != kind:
        raise Invalid("the cursor is not one that this list gave", remedy="begin again without it")
    return int(match.group(2))
