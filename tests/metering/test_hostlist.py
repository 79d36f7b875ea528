"""Slurm's host lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Invalid
from billing.metering.hostlist import expand


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("gpu1", ["gpu1"]),
        ("node[001-003,007]", ["node001", "node002", "node003", "node007"]),
        ("node[8-11]", ["node8", "node9", "node10", "node11"]),
        ("node[098-101]", ["node098", "node099", "node100", "node101"]),
        ("a[1-2],b,c[3]", ["a1", "a2", "b", "c3"]),
        ("r[1-2]-n[01-02]", ["r1-n01", "r1-n02", "r2-n01", "r2-n02"]),
        ("gpu[1-2].site.example", ["gpu1.site.example", "gpu2.site.example"]),
        ("n[1,1,1-2]", ["n1", "n2"]),
    ],
)
def test_a_list_is_expanded(text: str, hosts: list[str]) -> None:
    assert expand(text) == hosts


@pytest.mark.parametrize(
    "text",
    ["", ",", "a,", "a,,b", "n[", "n]", "n[1", "n[]", "n[1-]", "n[3-1]", "n[a-b]", "n[[1]]", "n[1]]", "n n", "n[1-2],", "-n",
     "n[0-99999999]", "n[1-300]m[1-300]", "n[1-999999999999999]", "ñ", "n\n", "../x", "n[1-2"],
)  # fmt: skip
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        expand(text)
    assert "\n" not in str(caught.value).replace(repr(text), "")


@given(st.text(alphabet="n[]-,0123456789", max_size=20))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        hosts = expand(text)
    except Invalid:
        return
    assert hosts and all(host and not set(host) & set("[],") for host in hosts)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=20, unique=True))
def test_numbers_that_were_written_with_leading_zeros_come_back(numbers: list[int]) -> None:
    text = f"gpu[{','.join(f'{number:03d}' for number in numbers)}]"
    assert expand(text) == [f"gpu{number:03d}" for number in numbers]
