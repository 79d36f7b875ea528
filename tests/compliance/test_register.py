"""Who may hold a controlled GPU: by country, KYC and attestation, each rule by its name."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.compliance.register import (
    UNKNOWN,
    Attestation,
    Control,
    Known,
    Kyc,
    KycStatus,
    Party,
    Rules,
    judged,
    pieces,
)
from billing.core.errors import Invalid
from billing.core.period import FOREVER, Span
from tests.factories import H100, OCTOBER, at

CONTROL = Control("hopper", frozenset([H100]), "end-use", True, frozenset(["KP", "IR"]))
RULES = Rules((CONTROL,), frozenset(["XX"]))
NOW = at(12, day=10)


def kyc(status: KycStatus, recorded_at: datetime = OCTOBER) -> Kyc:
    return Kyc(status, recorded_at.date(), "looked", "officer", recorded_at)


def paper(granted: date, expires: date, **fields: Any) -> Attestation:
    return Attestation("end-use", granted, expires, "letter 1", **fields)


VERIFIED = kyc(KycStatus.VERIFIED)
GOOD = Known((VERIFIED,), (paper(date(2026, 10, 1), date(2027, 10, 1)),))
ACME = Party(1, "acme", "AU")


@pytest.mark.parametrize(
    ("party", "known", "span", "reasons"),
    [
        (ACME, [GOOD], Span(NOW, FOREVER), []),
        (ACME, [UNKNOWN], Span(NOW, FOREVER), ["KYC of acme is none, not verified", "no attestation end-use valid on 2026-10-10"]),
        (ACME, [Known((kyc(KycStatus.PENDING),), GOOD.attestations)], Span(NOW, FOREVER), ["KYC of acme is pending"]),
        (ACME, [Known((VERIFIED, kyc(KycStatus.REJECTED)), GOOD.attestations)], Span(NOW, FOREVER), ["KYC of acme is rejected"]),
        (Party(1, "acme", "KP"), [GOOD], Span(NOW, FOREVER), ["hopper: acme is in KP"]),
        (Party(1, "acme", ""), [GOOD], Span(NOW, FOREVER), ["hopper: nobody said in which country acme is"]),
        (Party(1, "acme", "XX"), [GOOD], Span(NOW, FOREVER), ["denied_countries: acme is in XX"]),
        (Party(1, "acme", "AU", Party(2, "shop", "IR")), [GOOD, UNKNOWN], Span(NOW, FOREVER), ["hopper: shop is in IR"]),
        (Party(1, "acme", "AU", Party(2, "shop", "SG")), [GOOD, UNKNOWN], Span(NOW, FOREVER), []),
        (
            Party(1, "acme", "AU", Party(2, "shop", "SG")), [GOOD, Known((kyc(KycStatus.REJECTED),))], Span(NOW, FOREVER),
            ["hopper: the KYC of shop is rejected"],
        ),
        (ACME, [GOOD], Span(at(-1), FOREVER), ["no attestation end-use valid on 2026-09-30"]),
        (ACME, [GOOD], Span(datetime(2027, 10, 1, tzinfo=UTC), FOREVER), ["no attestation end-use valid on 2027-10-01"]),
        (ACME, [GOOD], Span(datetime(2027, 9, 30, 23, tzinfo=UTC), FOREVER), []),
    ],
)  # fmt: skip
def test_what_forbids_a_lease(party: Party, known: list[Known], span: Span, reasons: list[str]) -> None:
    found = RULES.reasons(party, known, {H100, "other"}, span, NOW)
    assert len(found) == len(reasons) and all(want in got for want, got in zip(reasons, found, strict=True)), found


def test_other_gpus_are_free_but_for_the_countries_that_get_nothing() -> None:
    assert RULES.reasons(Party(1, "acme", "KP"), [UNKNOWN], {"A10"}, Span(NOW, FOREVER), NOW) == []
    assert len(RULES.reasons(Party(1, "acme", "XX"), [UNKNOWN], {"A10"}, Span(NOW, FOREVER), NOW)) == 1


def test_a_lease_that_began_earlier_needs_an_attestation_then_and_now() -> None:
    expired = Known((VERIFIED,), (paper(date(2026, 10, 1), date(2026, 10, 9)),))
    (reason,) = RULES.reasons(ACME, [expired], {H100}, Span(at(0, day=5), FOREVER), NOW)
    assert reason == "hopper: acme has no attestation end-use valid on 2026-10-10"
    assert RULES.reasons(ACME, [expired], {H100}, Span(at(0, day=5), at(0, day=6)), NOW) == []


def test_a_revoked_attestation_counts_until_then_and_of_several_the_longest_is_named() -> None:
    revoked = paper(date(2026, 10, 1), date(2027, 10, 1), revoked_at=at(6, day=3))
    assert revoked.valid_at(at(5.9, day=3)) and not revoked.valid_at(at(6, day=3))
    longer = paper(date(2026, 10, 2), date(2028, 1, 1))
    assert Known((), (revoked, longer)).attested("end-use", at(0, day=2)) == longer
    assert Known((), (revoked,)).attested("other", at(0, day=2)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": ""}, {"kind": "end use"}, {"kind": "x" * 41}, {"reference": " "}, {"reference": "a\nb"},
        {"expires_on": date(2026, 10, 1)}, {"expires_on": date(2026, 9, 1)},
    ],
)  # fmt: skip
def test_an_attestation_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    fields = {
        "kind": "end-use",
        "granted_on": date(2026, 10, 1),
        "expires_on": date(2027, 1, 1),
        "reference": "letter 1",
    }
    with pytest.raises(Invalid):
        Attestation(**{**fields, **wrong})


moments = st.integers(0, 60 * 24).map(lambda hours: OCTOBER + timedelta(hours=hours))
days = st.integers(0, 60).map(lambda n: date(2026, 10, 1) + timedelta(days=n))
papers = (
    st.tuples(days, days, st.none() | moments)
    .filter(lambda t: t[0] < t[1])
    .map(lambda t: paper(t[0], t[1], revoked_at=t[2]))
)
decisions = st.lists(st.tuples(st.sampled_from(KycStatus), moments), max_size=4).map(
    lambda found: tuple(kyc(status, when) for status, when in sorted(found, key=lambda one: one[1]))
)
knowns = st.builds(Known, decisions, st.lists(papers, max_size=3).map(tuple))


@given(st.tuples(moments, moments).filter(lambda t: t[0] < t[1]), knowns, moments)
def test_pieces_tile_a_span_and_in_each_of_them_one_answer_holds(
    ends: tuple[datetime, datetime], known: Known, when: datetime
) -> None:
    span = Span(*ends)
    found = pieces(span, [known])
    assert found[0].start == span.start and found[-1].end == span.end
    assert all(a.end == b.start for a, b in pairwise(found))
    piece = next((one for one in found if one.start <= when < one.end), None)
    if piece is not None:

        def answer(moment: datetime) -> list[str]:
            return [why.split(" valid on")[0] for why in judged(CONTROL, ACME, [known], H100, moment)]

        assert answer(when) == answer(piece.start)
