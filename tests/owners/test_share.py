"""Owners, shares and fees: what is one, and what is none."""

import pytest

from billing.core.errors import Invalid
from billing.owners.share import WHOLE, Fee, Owner, Share, fee_at, parse_fee, parse_parts, share_text, too_much


@pytest.mark.parametrize("written", ["1", "1/2", "1/3", "2/3", "5/7", "1/11", "1/13", "15/16", "1/8"])
def test_a_share_is_exact_and_reads_as_it_was_written(written: str) -> None:
    assert share_text(parse_parts(written)) == written


def test_percentages_are_shares_and_thirds_make_a_whole() -> None:
    assert parse_parts("12.5%") == parse_parts("1/8") and parse_parts("100%") == WHOLE
    assert parse_parts("0.01%") * 10_000 == WHOLE
    assert 3 * parse_parts("1/3") == 7 * parse_parts("1/7") == WHOLE


@pytest.mark.parametrize("wrong", ["", "0", "0/3", "4/3", "1/0", "2", "1/17", "101%", "0%", "-1/3", "0.5", "1/3 ", "١"])
def test_what_is_no_share_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid, match="share"):
        parse_parts(wrong)


def test_shares_that_follow_each_other_are_not_added_up() -> None:
    third, half = parse_parts("1/3"), parse_parts("1/2")
    assert too_much([Share(1, 1, WHOLE, (0, 10)), Share(2, 1, WHOLE, (10, 20))]) is None
    assert too_much([Share(owner, 1, third, (owner, 20)) for owner in (1, 2, 3)]) is None
    assert too_much([Share(1, 1, half, (0, 10)), Share(2, 1, half, (0, 10)), Share(3, 1, 1, (9, 10))]) == (9, WHOLE + 1)


def test_the_fee_that_holds_is_the_one_that_began_last_and_was_set_last() -> None:
    fees = [Fee(1, 100, 0), Fee(1, 300, 50), Fee(1, 200, 50), Fee(1, 400, 20)]
    assert [fee_at(fees, at) for at in (-1, 0, 20, 49, 50, 99)] == [0, 100, 400, 400, 200, 200]
    assert fee_at([], 10) == 0


@pytest.mark.parametrize("wrong", ["", "-1", "10001", "2.5", "2%"])
def test_a_fee_is_whole_basis_points(wrong: str) -> None:
    with pytest.raises(Invalid, match="basis points"):
        parse_fee(wrong)


@pytest.mark.parametrize(
    "fields",
    [{"slug": "Not A Slug"}, {"name": ""}, {"legal_name": "a\nb"}, {"country": "Germany"}, {"email": "nobody"}],
)
def test_an_owner_is_checked(fields: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="owner"):
        Owner(**{"slug": "north", "name": "North", **fields})  # type: ignore[arg-type]
