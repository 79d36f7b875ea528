"""List files: what they may look like, and that anything else is an error that names its line."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.compliance.screening import Hit, Part, SanctionsList, listed, parse
from billing.core.errors import Invalid
from billing.core.onchain import Address, checksum
from tests.factories import OCTOBER

ONE, TWO = Address("0x" + "ab" * 20), Address("0x" + "0c" * 20)

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))
spellings = st.sampled_from([str, checksum, lambda a: "0x" + a[2:].upper(), lambda a: "0X" + a[2:]])
tails = st.sampled_from(["", "\tETH", "\tUSDC USDT", " ", "  # why", "\t"])
between = st.lists(st.sampled_from(["", "# comment", "   ", "\t# more"]), max_size=2)
ends = st.sampled_from(["\n", "\r\n", "\r"])


@given(
    st.lists(st.tuples(addresses, spellings, tails, between), min_size=1, max_size=8),
    ends,
    st.booleans(),
    st.booleans(),
)
def test_spelling_ends_of_lines_comments_and_a_mark_change_nothing(lines, end, bom, last) -> None:  # type: ignore[no-untyped-def]
    text = end.join(line for a, spell, tail, more in lines for line in (*more, spell(a) + tail)) + (end if last else "")
    content = (b"\xef\xbb\xbf" if bom else b"") + text.encode()
    assert parse("list", content) == {a for a, *_ in lines}


@given(
    st.lists(addresses, min_size=1, max_size=5),
    st.integers(0, 5),
    st.sampled_from(["0x12", "TQn9Y2", ONE[2:], ONE + "0", "x"]),
)
def test_anything_else_is_an_error_that_names_file_and_line(found: list[Address], at: int, wrong: str) -> None:
    lines: list[str] = list(found)
    at = min(at, len(lines))
    lines.insert(at, wrong)
    with pytest.raises(Invalid, match=rf"^sdn\.txt line {at + 1}: '{wrong}' is no address"):
        parse("sdn.txt", "\n".join(lines).encode())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "sdn.txt holds no address"),
        (b"# only a comment\n\n", "sdn.txt holds no address"),
        (ONE.encode() + b"\n\xff\xfe\n", "sdn.txt line 2 is no UTF-8 text"),
        (f"{ONE}\n{ONE},{TWO}\n".encode(), "line 2"),
        (b"<html>", "line 1: '<html>' is no address"),
        (b"\0" * 300, "line 1"),
    ],
)
def test_half_a_list_is_no_list(content: bytes, said: str) -> None:
    with pytest.raises(Invalid) as error:
        parse("sdn.txt", content)
    assert said in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_version_is_its_addresses_and_nothing_else() -> None:
    made = [SanctionsList("a", frozenset(one), OCTOBER) for one in ([ONE, TWO], [TWO, ONE], [ONE])]
    assert made[0].digest == made[1].digest != made[2].digest


def test_a_list_is_old_after_so_many_days_and_not_before() -> None:
    one = SanctionsList("a", frozenset([ONE]), OCTOBER)
    assert not one.older_than(7, OCTOBER + timedelta(days=7))
    assert one.older_than(7, OCTOBER + timedelta(days=7, seconds=1))


def test_the_first_of_the_parties_that_is_on_a_list_is_named() -> None:
    lists = [SanctionsList("a", frozenset([TWO]), OCTOBER), SanctionsList("b", frozenset([ONE, TWO]), OCTOBER)]
    assert listed(lists, [(ONE, Part.SENDER), (TWO, Part.SIGNER)]) == Hit(ONE, Part.SENDER, "list b")
    assert (
        str(listed(lists[:1], [(ONE, Part.SENDER), (TWO, Part.SIGNER)])) == "the signer of the transaction is on list a"
    )
    assert listed(lists[:1], [(ONE, Part.SENDER)]) is None
