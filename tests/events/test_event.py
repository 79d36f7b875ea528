"""From bytes to events: one way to understand them, and every digit kept."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Invalid
from billing.events.event import DEPTH_MAX, EVENT_BYTES_MAX, EVENTS_MAX, Form, decode
from billing.events.meter import parse_path
from tests.events.pushed import TOKENS, body, event, meter
from tests.factories import at

NOW = at(24, day=31)


def test_one_event_and_a_batch_of_one_are_the_same() -> None:
    one = event("1", {"tokens": 12})
    single = decode(json.dumps(one).encode(), Form.SINGLE, NOW)
    assert single.events == decode(body(one), Form.BATCH, NOW).events == decode(body(one), Form.EITHER, NOW).events
    assert json.loads(single.text) == [one]


@pytest.mark.parametrize("form", [Form.SINGLE, Form.BATCH])
def test_a_body_is_what_its_content_type_says(form: Form) -> None:
    wrong = body(event("1")) if form is Form.SINGLE else json.dumps(event("1")).encode()
    with pytest.raises(Invalid, match="the content type says so"):
        decode(wrong, form, NOW)


@given(st.lists(st.sampled_from([" ", "\n", "\t", "\r"]), max_size=3).map("".join), st.integers(0, 3))
def test_space_between_events_means_nothing(space: str, count: int) -> None:
    inside = f"{space},{space}".join(json.dumps(event(str(n))) for n in range(count))
    assert len(decode(f"{space}[{space}{inside}{space}]{space}".encode(), Form.EITHER, NOW).events) == count


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", "9007199254740993"),
        ("0.1", "0.1"),
        ("12345678901234567890123456789012345678.123456789012345678",) * 2,
        ('"12345678901234567890123456789012345678.123456789012345678"',) * 2,
        ("1e3", "1000"),
        ("1.50E-3", "0.00150"),
    ],
)
def test_no_digit_of_a_value_is_lost(text: str, value: str) -> None:
    raw = json.dumps(event("1", {"tokens": "X"})).replace('"X"', text)
    found = decode(raw.encode(), Form.SINGLE, NOW)
    assert TOKENS.value_of(found.events[0].data) == Decimal(value.strip('"'))
    assert text in found.text, "what is stored is what was sent"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-1", "no quantity"),
        ('"-1"', "no quantity"),
        ('"NaN"', "no quantity"),
        ('"1e3"', "no quantity"),
        ('"1\\n"', "no quantity"),
        ('"\u0661"', "no quantity"),
        ("true", "no value"),
        ("null", "no value"),
        ("{}", "no value"),
        ("[1]", "no value"),
        ("1e38", "no quantity"),
        ("1e-19", "no quantity"),
        ('"' + "9" * 39 + '"', "no quantity"),
    ],
)
def test_what_is_no_quantity_is_no_value(text: str, words: str) -> None:
    raw = json.dumps(event("1", {"tokens": "X"})).replace('"X"', text)
    with pytest.raises(Invalid, match=words):
        TOKENS.value_of(decode(raw.encode(), Form.SINGLE, NOW).events[0].data)


@pytest.mark.parametrize(
    ("path", "data", "value"),
    [
        ("$.a.b", {"a": {"b": 2}}, 2),
        ("/a/b", {"a": {"b": "2"}}, 2),
        ("/a~1b/c~0d", {"a/b": {"c~d": 2}}, 2),
        ("/a/1", {"a": [1, 2]}, 2),
        ("$", 2, 2),
        ("", "2", 2),
    ],
)
def test_a_path_leads_to_a_value(path: str, data: Any, value: int) -> None:
    assert meter(path).value_of(data) == value


@pytest.mark.parametrize(
    "path", ["a", "a.b", "$a", "$.", "$.a..b", "$.a[0]", "//a", "/a/", "/a~2", "/-1", "/\x00", "$.a b"]
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="no path"):
        parse_path(path)


def test_a_count_looks_at_no_value() -> None:
    assert meter("", "count").value_of(None) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": 1.0}, "specversion"),
        ({"id": None}, "event 2: id is missing"),
        ({"id": ""}, "id is missing"),
        ({"id": 7}, "id is missing"),
        ({"id": "x" * 201}, "at most 200 printable"),
        ({"source": "a\tb"}, "printable"),
        ({"source": "\u202e"}, "printable"),
        ({"subject": None}, "subject is missing"),
        ({"type": ["x"]}, "type is missing"),
        ({"time": "2026-10-02"}, "no RFC 3339 time"),
        ({"time": "2026-10-02T00:00:00"}, "no RFC 3339 time"),
        ({"time": "2026-13-02T00:00:00Z"}, "no RFC 3339 time"),
        ({"time": 1790000000}, "no RFC 3339 time"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "no RFC 3339 time"),
        ({"time": "9999-12-31T23:59:59Z"}, "in the future"),
        ({"time": "2026-11-02T00:00:01Z"}, "in the future"),
        ({"time": "2020-01-01T00:00:00Z"}, "in the past"),
        ({"data_base64": "AAAA"}, "data_base64"),
        ({"datacontenttype": "text/plain"}, "datacontenttype"),
        ({"datacontenttype": 5}, "datacontenttype"),
        ({"data": "x" * EVENT_BYTES_MAX}, "at most 65536 bytes"),
    ],
)
def test_an_event_that_is_wrong_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        decode(body(event("1"), {**event("2"), **change} if None not in change.values() else event("2", **change)),
               Form.BATCH, NOW)  # fmt: skip
    assert str(caught.value).startswith("event 2: ") and "\n" not in str(caught.value)


ODD = json.dumps(event("1")).encode()


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b" ",
        b"null",
        b"7",
        b'"text"',
        b"[1]",
        b"[[]]",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"specversion":"1.0","data":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        ODD[:-1],
        ODD + b"x",
        ODD + ODD,
        b"\xef\xbb\xbf" + ODD,
        ODD.replace(b"acme", b"\xff\xfe"),
        ODD.replace(b"acme", b"\\ud800"),
        ODD.replace(b"acme", b"\\u0000"),
        ODD.replace(b'"tokens": 1', b'"tokens": "\\\\\\u0000"'),
        ODD.replace(b'"tokens": 1', b'"tokens": 1, "tokens": 2'),
        ODD.replace(b'"id": "1"', b'"id": "1", "id": "2"'),
        ODD.replace(b'"tokens": 1', b'"tokens": NaN'),
        ODD.replace(b'"tokens": 1', b'"tokens": Infinity'),
        ODD.replace(b'"tokens": 1', b'"tokens": 1e400'),
        ODD.replace(b'"tokens": 1', b'"tokens": 1e300'),
        ODD.replace(b'"tokens": 1', b'"tokens": 1e-300'),
        ODD.replace(b'"tokens": 1', b'"tokens": 1e99999999999999999999'),
        ODD.replace(b'"tokens": 1', b'"tokens": ' + b"9" * 5_000),
        ODD.replace(b'"tokens": 1', b'"tokens": 01'),
        ODD.replace(b'"tokens": 1', b'"tokens": "' + b"x" * 10_000_000 + b'"'),
        ODD.decode().encode("utf-16"),
        b"[" + b",".join([ODD] * (EVENTS_MAX + 1)) + b"]",
    ],
    ids=range(32),
)
def test_what_is_no_event_is_refused_on_one_line(broken: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        decode(broken, Form.EITHER, NOW)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [DEPTH_MAX, 500, 980, 1_000, 1_020, 2_000])
def test_what_is_nested_too_deeply_is_refused_however_deep_it_is(opens: str, closes: str, depth: int) -> None:
    """Between the strict reader's limit and the interpreter's own there is no depth that ends in anything else."""
    raw = json.dumps(event("1", {"tokens": "X"})).replace('{"tokens": "X"}', opens * depth + "1" + closes * depth)
    with pytest.raises(Invalid, match=r"deep|depth"):
        decode(raw.encode(), Form.SINGLE, NOW)


def test_an_event_may_be_nested_and_may_have_many_lists() -> None:
    inside = DEPTH_MAX - 1  # the event is the outermost
    raw = json.dumps(event("1", {"tokens": "X"})).replace('{"tokens": "X"}', "[" * inside + "1" + "]" * inside)
    wide = json.dumps(event("2", [[n] for n in range(500)]))
    assert len(decode(f"[{raw},{wide}]".encode(), Form.BATCH, NOW).events) == 2


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_events_or_invalid(content: bytes) -> None:
    try:
        decode(content, Form.EITHER, NOW)
    except Invalid:
        return
    assert json.loads(content) == [], "nothing random is an event"


def test_a_backslash_before_u0000_is_just_text() -> None:
    found = decode(ODD.replace(b'"tokens": 1', b'"tokens": "\\\\u0000"'), Form.SINGLE, NOW)
    assert found.events[0].data == {"tokens": "\\u0000"}


def test_digits_behind_the_microsecond_do_not_carry_into_the_next_month() -> None:
    found = decode(body(event("1", time="2026-09-30T23:59:59.9999999Z")), Form.BATCH, NOW).events[0]
    assert found.time is not None and found.time.month == 9
