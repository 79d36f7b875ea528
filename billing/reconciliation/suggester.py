"""Suggests what may be done about exceptions, from what stands now."""

from collections.abc import Sequence

from billing.core.errors import NotFound
from billing.core.money import Asset
from billing.db.engine import Session
from billing.pricing import store as pricing
from billing.reconciliation.store.facts import gather
from billing.reconciliation.suggestion import Suggestion, suggest


def suggested(session: Session, exceptions: Sequence[int]) -> tuple[Asset | None, dict[int, list[Suggestion]]]:
    """(the currency that amounts are in, {exception id: the likeliest first}) of those that are not decided."""
    try:
        currency = pricing.currency(session)
    except NotFound:  # before the first price book nothing is owed
        return None, {}
    return currency, {one: suggest(facts) for one, facts in gather(session, exceptions, currency).items()}
