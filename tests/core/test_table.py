"""Tables that people write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Conflict, Invalid
from billing.core.table import Table, read

COLUMNS = {"name": ("title",), "size": (), "note": ()}


def rows(content: str | bytes) -> list[tuple[int, dict[str, str]]]:
    found = read(content if isinstance(content, bytes) else content.encode(), COLUMNS, ("name",))
    found.check()
    return [(line, dict(values)) for line, values in found.rows]


@pytest.mark.parametrize(
    "content",
    [
        "name,size\na,1\nb,2\n",
        "\ufeffname,size\r\na,1\r\nb,2\r\n",
        "Size, TITLE \n1, a \n2,b\n",
        '"name",size\n"a",1\n\n,\nb,"2"\n',
    ],
)
def test_order_case_quotes_marks_and_line_ends_do_not_matter(content: str) -> None:
    assert [values for _, values in rows(content)] == [{"name": "a", "size": "1"}, {"name": "b", "size": "2"}]


def test_lines_are_numbered_as_an_editor_shows_them() -> None:
    content = '# a remark, with a comma\nname,note\n\na,"two\nlines"\nb,x\n'
    assert [line for line, _ in rows(content)] == [4, 6]
    assert read(content.encode(), COLUMNS, ()).remark == "# a remark, with a comma"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty, without a header"),
        (b"\n\n", "empty, without a header"),
        (b"name,size\na,1", "may be cut off"),
        (b"name\xff\n", "no UTF-8 text"),
        (b"name\na\0b\n", "binary"),
        (b"colour\nx\n", "'colour' is not known"),
        (b"name,title\na,b\n", "name is there twice"),
        (b"size\n1\n", "name is missing"),
        (b'name\n"a\n', "line 2: unexpected end of data"),
        (b'name\n"a"b\n', "line 2: "),
        (b"name\n" + b"x" * 10_000_000 + b"\n", "line 2 is longer"),
        (b"name,size\na\nb,1,2\n", "line 2: 1 fields under 2 headings; line 3: 3 fields under 2 headings"),
        (b"name,size\n" + b"a\n" * 9, "; and 4 more"),
    ],
)
def test_what_is_wrong_is_named_on_one_line(content: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        rows(content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(noise: bytes) -> None:
    for content in (noise, b"name,size\n" + noise, b"name\n" + noise + b"\n"):
        try:
            found = rows(content)
        except Invalid:
            continue
        assert all(line > 0 and "name" in values for line, values in found)


def test_a_line_that_cannot_be_used_is_wrong_and_the_others_are_used() -> None:
    def use(text: str) -> int:
        if text == "taken":
            raise Conflict("it is taken")
        return len(text)

    found = Table()
    assert found.each([(2, "a"), (3, "taken"), (5, "abc")], use) == [(2, 1), (5, 3)]
    with pytest.raises(Invalid, match=r"^line 3: it is taken$"):
        found.check()
