"""Is this invoice, or this deposit address, genuine? Needs the document and the pin; no network, no database, no daemon.

Consistency is not origin: a thief can write a whole other document with a factory of his own. The pin, which comes with
the contract and never from the pay page, is what proves whose wallet it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.core.onchain import Address, Hash32, checksum
from billing.invoicing import document as documents
from billing.invoicing.document import CreditNoteDocument, DepositDocument, ForwarderTerms, InvoiceDocument, XpubTerms
from billing.wallets.wallet import ForwarderWallet, TreasuryKind


@dataclass(frozen=True, slots=True)
class Verdict:
    """`genuine` is True only when the document is consistent, its wallet has a given pin, and its address is the one
    that was shown (if one was given). `words` say why, one line each."""

    genuine: bool
    digest: Hash32
    address: Address | None
    words: list[str]


def wallet_of(terms: ForwarderTerms) -> ForwarderWallet:
    return ForwarderWallet(
        Address(terms.factory),
        Address(terms.implementation),
        Address(terms.treasury),
        TreasuryKind(terms.treasury_kind),
        Address(terms.flusher),
    )


def address_of(document: InvoiceDocument | DepositDocument, digest: Hash32) -> Address | None:
    """The address that a document stands for; None when nothing is due."""
    if isinstance(document.wallet, ForwarderTerms):
        return wallet_of(document.wallet).address_of(digest)
    if isinstance(document.wallet, XpubTerms):
        return Address(document.wallet.address)
    return None


def verify(content: bytes, pins: Sequence[Hash32], shown: Address | None) -> Verdict:
    """Check a document. Raises Invalid for bytes that are no canonical document."""
    parsed, digest = documents.parse(content), documents.digest(content)
    if isinstance(parsed, CreditNoteDocument):
        what = "all" if parsed.is_whole else "a part"
        said = f"{parsed.number}: takes {parsed.total} {parsed.currency.code}, {what}, of {parsed.invoice.number} back"
        return Verdict(False, digest, None, [said, "a credit note has no address to pay to"])
    words = [f"{parsed.number}: {_what(parsed)}, from {parsed.issuer.name} to {parsed.tenant.name}"]
    address = address_of(parsed, digest)
    if address is None:
        return Verdict(False, digest, None, [*words, "nothing is due on it: there is no address to pay to"])
    words.append(f"the document stands for the address {checksum(address)}")
    if shown is not None and shown != address:
        words.append(f"NOT GENUINE: the address you were shown, {checksum(shown)}, is another one; do not pay to it")
        return Verdict(False, digest, address, words)
    if not isinstance(parsed.wallet, ForwarderTerms):
        words.append(
            "origin unproven: in xpub mode an address commits to nothing; compare it with the issuer by another way"
        )
        return Verdict(False, digest, address, words)
    origin, word = _origin(wallet_of(parsed.wallet), pins)
    words.append(word + (", and the address is the one that you were shown" if origin and shown else ""))
    return Verdict(origin, digest, address, words)


def _what(parsed: InvoiceDocument | DepositDocument) -> str:
    if isinstance(parsed, DepositDocument):
        return f"the {parsed.currency.code} deposit address of {parsed.tenant.id}"
    return f"{parsed.amount_due} {parsed.currency.code} due"


def _origin(wallet: ForwarderWallet, pins: Sequence[Hash32]) -> tuple[bool, str]:
    money = f"its money can only go to the treasury {checksum(wallet.treasury)}"
    if not pins:
        return False, f"{money}; consistent, origin unproven: give the issuer's pin from your contract with --issuer"
    if wallet.pin() not in pins:
        return False, f"NOT GENUINE: {money}, and its pin {wallet.pin()} is not the issuer's; do not pay it"
    return True, f"genuine: the wallet is the issuer's; {money}"
