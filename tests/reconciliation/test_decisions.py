"""Any order of payments, decisions, reorganisations and voids leaves balanced books, and receivables that are what the standing
facts say."""

import contextlib
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from billing.core.errors import Conflict, Invalid
from billing.reconciliation.applier import To
from billing.reconciliation.resolver import Credited, Resolution
from tests.reconciliation.desk import Desk, Site
from tests.web.client import USDC, WATCHED

CENTS = (1, 700, 1_999, 2_000, 2_001, 5_000)
place = st.integers(0, 3)
deeds = st.one_of(
    st.tuples(st.just("pay"), place, st.sampled_from(CENTS)),
    st.tuples(st.just("stray"), place, st.sampled_from(CENTS)),
    st.tuples(
        st.just("apply"), st.lists(place, min_size=1, max_size=2, unique=True), st.sampled_from(("", "7.00", "20.00"))
    ),
    st.tuples(st.just("apply two"), st.lists(place, min_size=1, max_size=2, unique=True), st.just("")),
    st.tuples(st.sampled_from(("credit", "write off", "void")), place, st.none()),
    st.tuples(st.sampled_from(("forget", "bring back")), place, st.none()),
)


def play(desk: Desk, what: str, which: Any, how: Any) -> None:
    """One deed; what a person may not do is refused and changes nothing."""
    numbers = [one.number for one in desk.invoices]
    asked = [one["id"] for one in desk.questions()]
    with contextlib.suppress(Conflict, Invalid):
        if what in ("pay", "stray"):
            address = desk.invoices[which].address
            units, token = (how * 10**4, USDC) if what == "pay" else (how * 10**16, WATCHED)
            assert address is not None
            desk.moved("0x" + "5e" * 20, address, units, token)
        elif what in ("apply", "apply two") and asked:
            to = [To(numbers[one], how) for one in which]
            payer = Credited(desk.invoices[which[0]].tenant)
            taken = asked[: 2 if what == "apply two" else 1]
            desk.app.applier.apply(taken, to, reason="theirs", actor="ann", credited=payer)
        elif what == "credit" and asked:
            desk.app.resolver.resolve(asked[0], Resolution.CREDIT, reason="theirs", actor="ann")
        elif what == "write off":
            desk.app.abandoner.write_off(numbers[which], reason="gone", actor="ann")
        elif what == "void":
            desk.app.issuer.void(numbers[which], reason="wrong", actor="ann")
        elif what in ("forget", "bring back"):
            standing = "<>" if what == "forget" else "="
            found = desk.rows(f"SELECT id FROM transfer WHERE state {standing} 'orphaned' ORDER BY id")
            if found:
                (desk.forget if what == "forget" else desk.bring_back)(found[which % len(found)][0])


FACTS = """
    SELECT i.number, CASE WHEN i.status = 'void' OR w.id IS NOT NULL THEN 0 ELSE i.amount_due END AS due,
      coalesce((SELECT sum(t.units / 10000) FROM transfer t JOIN payment_address a ON a.address = t.to_address
                  JOIN payment p ON p.transfer_id = t.id AND p.incarnation = t.incarnation AND p.disposition = 'matched'
                 WHERE a.invoice_id = i.id AND t.state <> 'orphaned'), 0)
      + coalesce((SELECT sum(s.units) FROM assignment s JOIN payment p ON p.id = s.payment_id
                    JOIN transfer t ON t.id = p.transfer_id AND t.incarnation = p.incarnation
                   WHERE s.invoice_id = i.id AND t.state <> 'orphaned'), 0) AS came,
      coalesce((SELECT sum(o.units) FROM posting o WHERE o.invoice_id = i.id AND o.account = 'receivable'), 0) AS owed
      FROM invoice i LEFT JOIN write_off w ON w.invoice_id = i.id AND w.ended_at IS NULL ORDER BY i.id"""


def receivables_follow_from_facts(desk: Desk) -> None:
    for number, due, came, owed in desk.rows(FACTS):
        left = max(0, int(due) - int(came))
        within_tolerance = 0 < left <= 1 and came > 0
        assert int(owed) == (0 if within_tolerance else left), number


STORY = [
    ("stray", 0, 5_000), ("stray", 2, 2_001), ("apply two", [2, 0], ""), ("pay", 0, 700), ("write off", 1, None),
    ("forget", 0, None), ("bring back", 0, None), ("apply", [0], "7.00"), ("pay", 1, 2_001), ("forget", 3, None), ("void", 3, None),
]  # fmt: skip


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(story=st.lists(deeds, min_size=3, max_size=8))
@example(story=STORY)
def test_the_books_follow_from_what_stands(site: Site, story: list[tuple[str, Any, Any]]) -> None:
    with site.copy() as desk:
        for what, which, how in story:
            play(desk, what, which, how)
            receivables_follow_from_facts(desk)
        assert desk.findings() == []
