"""Prices, invoices, and who is told of them."""

from datetime import timedelta
from functools import cached_property

from billing.bootstrap.chains import offers_of
from billing.bootstrap.metering import MeteringParts
from billing.invoicing import store as invoicing_store
from billing.invoicing.archive import Archive
from billing.invoicing.document import Party
from billing.invoicing.drafter import Drafter
from billing.invoicing.dunner import Dunner, Steps
from billing.invoicing.issuer import Issuer
from billing.invoicing.writer import House
from billing.notices.deliverer import Deliverer
from billing.notices.notice import MAIL_ONLY
from billing.notices.store import Wants
from billing.pricing.rater import Rater
from billing.wallets.hd import AccountKey
from billing.wallets.wallet import TreasuryKind, Wallet, XpubWallet, forwarder_wallet


class InvoicingParts(MeteringParts):
    """From usage to issued invoices."""

    @cached_property
    def rater(self) -> Rater:
        return Rater(self.database, self.clock, invoicing_store.closed_until, self.meters)

    @cached_property
    def drafter(self) -> Drafter:
        return Drafter(self.database, [one.name for one in self.settings.metering.sources], self.meters)

    @cached_property
    def archive(self) -> Archive:
        return Archive(self.settings.archive_directories)

    @cached_property
    def account(self) -> AccountKey | None:
        return AccountKey(self.settings.wallet.xpub) if self.settings.wallet.mode == "xpub" else None

    @cached_property
    def wallet(self) -> Wallet | None:
        """The configured wallet; None when none is configured yet."""
        wanted = self.settings.wallet
        if self.account is not None:
            return XpubWallet(self.account.fingerprint)
        if not wanted.treasury:
            return None
        return forwarder_wallet(wanted.treasury, TreasuryKind(wanted.treasury_kind), wanted.flusher)

    @cached_property
    def house(self) -> House:
        issuer = self.settings.issuer
        offers = tuple(offer for one in self.settings.chains for offer in offers_of(one))
        return House(
            Party(name=issuer.name, address=issuer.address, tax_id=issuer.tax_id),
            issuer.series,
            self.wallet,
            self.account,
            offers,
            self.settings.public_url,
            issuer.tax_office(),
        )

    @cached_property
    def issuer(self) -> Issuer:
        return Issuer(self.database, self.clock, self.drafter, self.archive, self.house, self._fences.invoicer)

    @property
    def suspend_after(self) -> timedelta | None:
        """How long overdue a tenant may be before it is suspended; None: for ever."""
        days = self.settings.dunning.suspend_after_days
        return None if days is None else timedelta(days=days)

    @cached_property
    def dunner(self) -> Dunner:
        wanted = self.settings.dunning
        steps = Steps(wanted.remind_before_days, wanted.overdue_days, self.suspend_after, self.settings.public_url)
        return Dunner(self.database, self.clock, steps, self._fences.invoicer)

    @cached_property
    def wants(self) -> dict[str, Wants]:
        """What each receiver of notices is told, by its name."""
        wants = {one.name: Wants(frozenset(kind.value for kind in one.types)) for one in self.settings.webhooks}
        wants |= {one.name: Wants(frozenset(kind.value for kind in one.types)) for one in self.settings.programs}
        if self.settings.mail.host:
            kinds = frozenset(kind.value for kind in {*self.settings.mail.types, *MAIL_ONLY})
            wants["mail"] = Wants(kinds, by_mail=True)
        return wants

    @cached_property
    def deliverer(self) -> Deliverer:
        """Loads the HTTP library."""
        from billing.notices.mail import MailReceiver, MailServer
        from billing.notices.program import ProgramReceiver
        from billing.notices.webhook import WebhookReceiver

        hooks = self.settings.webhooks
        receivers: list[WebhookReceiver | MailReceiver | ProgramReceiver] = [
            WebhookReceiver(one.name, one.url.get_secret_value(), [key.get_secret_value() for key in one.secrets])
            for one in hooks
        ]
        receivers += [ProgramReceiver(one.name, one.program) for one in self.settings.programs]
        mail = self.settings.mail
        if mail.host:
            server = MailServer(mail.host, mail.port, mail.security, mail.username, mail.password.get_secret_value())
            receivers.append(MailReceiver(server, mail.sender, self.settings.issuer.name, self.doorkeeper.link_for))
        self._closing += [receiver.close for receiver in receivers]
        return Deliverer(self.database, self.clock, receivers, self.wants, self._fences.invoicer)
