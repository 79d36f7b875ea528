"""Rates from rounds: exact, or a reason why there is none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.chain.block import Block
from billing.core.errors import Conflict, Invalid, Unavailable
from billing.core.onchain import Address, Hash32, checksum, selector
from billing.quotes.feed import At, Feed, NoRate, Rate, Round, decode_round, in_phase, rate_of, within
from billing.quotes.reader import ROUNDS_MAX, FeedReader, read, verify
from tests.factories import at

FEED = Feed(Address("0x" + "fe" * 20), 8, 3600)
NOW = at(12)
SECOND = int(NOW.timestamp())
HASH = Hash32("0x" + "ab" * 32)
GOOD = Round(in_phase(2, 7), 99_500_000, SECOND - 60, in_phase(2, 7))


@given(st.integers(1, 10**15), st.integers(0, 18), st.integers(0, 3600))
def test_a_good_rounds_rate_is_its_answer_exactly(answer: int, decimals: int, age: int) -> None:
    feed, found = replace(FEED, decimals=decimals), replace(GOOD, answer=answer, updated_at=SECOND - age)
    rate = rate_of(found, feed, NOW)
    over, under = Decimal(answer).as_integer_ratio()[0], 10**decimals
    if over >= 10**9 * under:
        assert isinstance(rate, NoRate)
        return
    assert isinstance(rate, Rate)
    top, bottom = rate.value.as_integer_ratio()
    assert top * under == over * bottom
    assert rate.at == NOW - timedelta(seconds=age) and str(found.id) in rate.source


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (replace(GOOD, answer=0), "answers 0"),
        (replace(GOOD, answer=-1), "answers -1"),
        (replace(GOOD, updated_at=0), "not complete"),
        (replace(GOOD, answered_in=GOOD.id - 1), "not complete"),
        (replace(GOOD, updated_at=SECOND - 3601), "stale: 3601 s old"),
        (replace(GOOD, updated_at=SECOND + 1), "later time"),
        (replace(GOOD, updated_at=2**255), "later time"),
        (replace(GOOD, answer=2**200), "no plausible rate"),
    ],
)
def test_a_bad_round_gives_a_reason_and_no_rate(wrong: Round, reason: str) -> None:
    found = rate_of(wrong, FEED, NOW)
    assert isinstance(found, NoRate) and reason in found.reason


def test_an_answer_too_small_to_be_recorded_is_no_rate() -> None:
    assert isinstance(rate_of(replace(GOOD, answer=1), replace(FEED, decimals=19), NOW), NoRate)


def test_a_round_is_decoded_with_its_sign() -> None:
    words = (GOOD.id, 2**256 - 5, 1, 2, GOOD.id)
    found = decode_round(b"".join(one.to_bytes(32, "big") for one in words))
    assert found == Round(GOOD.id, -5, 2, GOOD.id) and (found.phase, found.number) == (2, 7)
    assert decode_round(b"\0" * 159) is None


def test_a_rate_on_the_limit_is_within_it() -> None:
    assert within(Decimal("0.99"), Decimal("0.01")) and within(Decimal("1.01"), Decimal("0.01"))
    assert not within(Decimal("0.989999999999999999"), Decimal("0.01"))


class Proxy:
    """A feed on a node that keeps no state of old blocks; `rounds` are {round id: seconds}."""

    def __init__(self, rounds: dict[int, int], latest: int, *, pruned: bool = True, decimals: int = 8) -> None:
        self.rounds, self.latest, self.pruned, self.decimals = rounds, latest, pruned, decimals
        self.hash, self.has_code = HASH, True

    def block(self, which: int | str) -> Block:
        return Block(100, self.hash, self.hash, NOW)

    def code(self, address: Address) -> bytes:
        return b"\x01" if self.has_code else b""

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        argument = int.from_bytes(data[4:], "big")
        if self.pruned and block != "latest":
            raise Unavailable("missing trie node")
        if data[:4] == selector("decimals()"):
            return self.decimals.to_bytes(32, "big")
        if data[:4] == selector("phaseAggregators(uint16)"):
            return argument.to_bytes(32, "big")  # an aggregator's address is its phase
        if data[:4] == selector("latestRoundData()"):
            if to == FEED.address:
                return self._round(self.latest)
            phase = int(to, 16)
            return self._words(max(one for one in self.rounds if one >> 64 == phase) & (2**64 - 1), 1)
        return self._round(argument)

    def _round(self, number: int) -> bytes:
        if number not in self.rounds:
            raise Conflict("no data present")
        return self._words(number, self.rounds[number])

    def _words(self, number: int, second: int) -> bytes:
        return b"".join(one.to_bytes(32, "big") for one in (number, 10**8, second, second, number))


HERE = At(100, HASH, NOW)


def phases(first: list[int], second: list[int]) -> dict[int, int]:
    """Rounds of two phases, from ages in seconds at the block."""
    return {in_phase(p, i): SECOND - age for p, ages in ((1, first), (2, second)) for i, age in enumerate(ages, 1)}


def test_without_the_blocks_state_rounds_are_walked_back_to_the_one_in_force() -> None:
    rounds = phases([300, 200], [100, 10, -50, -90])
    found = read(Proxy(rounds, in_phase(2, 4)), HERE, FEED)
    assert isinstance(found, Rate) and found.at == NOW - timedelta(seconds=10)


def test_the_walk_goes_on_in_the_aggregator_before() -> None:
    rounds = phases([300, 200], [-50, -90])
    found = read(Proxy(rounds, in_phase(2, 2)), HERE, FEED)
    assert isinstance(found, Rate) and found.at == NOW - timedelta(seconds=200)


@pytest.mark.parametrize("missing", [in_phase(2, 3), in_phase(1, 2)])
def test_a_round_that_is_missing_on_the_way_is_a_question(missing: int) -> None:
    rounds = phases([300, 200, 100], [-10, -20, -50, -90])
    rounds.pop(missing)
    if missing >> 64 == 1:
        rounds[in_phase(1, 3)] = SECOND + 5
    found = read(Proxy(rounds, in_phase(2, 4)), HERE, FEED)
    assert isinstance(found, NoRate) and "no round at block 100" in found.reason


def test_the_walk_is_bounded() -> None:
    rounds = phases([], [10, *([-5] * (ROUNDS_MAX + 1))])
    assert isinstance(read(Proxy(rounds, in_phase(2, ROUNDS_MAX + 2)), HERE, FEED), NoRate)


def test_a_feed_of_other_decimals_says_nothing() -> None:
    found = read(Proxy(phases([], [10]), in_phase(2, 1), decimals=18), HERE, FEED)
    assert isinstance(found, NoRate) and "has 18 decimals, not 8" in found.reason


def test_an_endpoint_on_another_branch_is_not_believed() -> None:
    node = Proxy(phases([], [10]), in_phase(2, 1), pruned=False)
    node.hash = Hash32("0x" + "cd" * 32)
    with pytest.raises(Unavailable, match="does not know block 100 as it was read"):
        read(node, HERE, FEED)


def test_bad_settings_are_named() -> None:
    node = Proxy(phases([], [10]), in_phase(2, 1))
    verify(node, {"USDC": FEED})
    with pytest.raises(Invalid, match=r"has 8 decimals, not 6; mend chains\.tokens\.feed_decimals"):
        verify(node, {"USDC": replace(FEED, decimals=6)})
    node.latest = 0
    with pytest.raises(Invalid, match=r"answers no round; mend chains\.tokens\.feed$"):
        verify(node, {"USDC": FEED})
    node.has_code = False
    with pytest.raises(Invalid, match=r"no contract; mend chains\.tokens\.feed$"):
        verify(node, {"USDC": FEED})


def test_the_reader_asks_the_chain_that_it_is_told_to() -> None:
    asked: list[int] = []
    node = Proxy(phases([], [10]), in_phase(2, 1), pruned=False)

    def ask(chain_id, what):  # type: ignore[no-untyped-def]
        asked.append(chain_id)
        return what(node)

    assert FeedReader(ask).rate(5, HERE, FEED) == Rate(
        Decimal("1.000000000000000000"),
        f"feed {checksum(FEED.address)} round {in_phase(2, 1)}",
        datetime.fromtimestamp(SECOND - 10, UTC),
    )
    assert asked == [5]
