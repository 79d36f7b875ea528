"""The archive: on disk before the commit, whole or not at all, in every directory."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing.core.errors import Invalid, Unavailable
from billing.invoicing import document as documents
from billing.invoicing.archive import Archive, Prepared
from billing.invoicing.lines import Tail, append
from billing.invoicing.restorer import forgotten

NOW = datetime(2026, 11, 2, tzinfo=UTC)
GOLDEN = Path(__file__).parents[1] / "golden" / "documents"


def prepared(nonce: str = "5a", number: str = "INV-000042", index: int | None = None) -> Prepared:
    content = (GOLDEN / "invoice.json").read_bytes()
    content = content.replace(b"5a" * 32, nonce.encode() * 32).replace(b"INV-000042", number.encode())
    return Prepared(content, documents.digest(content), number, index, f"token of {number}")


def test_documents_come_back_byte_for_byte_with_what_the_journal_knows(tmp_path: Path) -> None:
    archive = Archive([tmp_path / "a", tmp_path / "b"])
    one, two = prepared("01", "INV-000001", 7), prepared("02", "INV-000002")
    archive.prepare([one], NOW)
    archive.issued([one.digest], NOW)
    archive.prepare([two], NOW)
    found = archive.read()
    assert [(a.content, a.index, a.issued) for a in found] == [(one.content, 7, True), (two.content, None, False)]
    assert [(a.number, a.pay_token) for a in found] == [(n, f"token of {n}") for n in ("INV-000001", "INV-000002")]
    assert archive.digests(tmp_path / "a") == archive.digests(tmp_path / "b") == {one.digest, two.digest}


def test_a_line_cut_off_by_a_crash_is_passed_over_and_never_joined_to_the_next(tmp_path: Path) -> None:
    archive = Archive([tmp_path])
    one, two = prepared("01", "INV-000001"), prepared("02", "INV-000002")
    archive.prepare([one], NOW)
    path = tmp_path / "documents-2026-11.jsonl"
    path.write_bytes(path.read_bytes() + two.content[:200])
    assert [a.digest for a in archive.read()] == [one.digest]
    archive.prepare([two], NOW)
    assert [a.digest for a in archive.read()] == [one.digest, two.digest]


def test_a_changed_line_is_noticed(tmp_path: Path) -> None:
    archive = Archive([tmp_path])
    archive.prepare([prepared()], NOW)
    path = tmp_path / "documents-2026-11.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"200.00"', b'"100.00"', 1))
    with pytest.raises(Invalid):
        archive.read()


def test_a_directory_that_cannot_be_written_stops_issuing(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="nothing was issued"):
        Archive([tmp_path / "good", blocked / "x"]).prepare([prepared()], NOW)


def test_a_twin_that_was_never_issued_is_not_forgotten_money(tmp_path: Path) -> None:
    """A crash between archive and commit: the number was given to another document since."""
    archive = Archive([tmp_path])
    lost, real = prepared("01", "INV-000001"), prepared("02", "INV-000001")
    archive.prepare([lost], NOW)
    assert [a.digest for a in forgotten(archive, set())] == [lost.digest], (
        "nobody else got the number: it may have been issued"
    )
    archive.prepare([real], NOW)
    archive.issued([real.digest], NOW)
    assert forgotten(archive, {real.digest}) == []
    assert [a.digest for a in forgotten(archive, set())] == [real.digest]


def test_an_unconfirmed_twin_of_an_unconfirmed_one_is_the_later(tmp_path: Path) -> None:
    archive = Archive([tmp_path])
    first, second = prepared("01", "INV-000001"), prepared("02", "INV-000001")
    archive.prepare([first], NOW)
    archive.prepare([second], NOW)
    assert [a.digest for a in forgotten(archive, set())] == [second.digest]


def test_a_journal_line_of_somebody_else_is_noticed(tmp_path: Path) -> None:
    archive = Archive([tmp_path])
    archive.prepare([prepared()], NOW)
    with (tmp_path / "journal-2026-11.jsonl").open("ab") as file:
        file.write(b"hello\n")
    for _ in range(2):
        with pytest.raises(Invalid, match="journal"):
            archive.read()


def test_a_journal_from_before_pay_tokens_were_noted_is_read(tmp_path: Path) -> None:
    archive, one = Archive([tmp_path]), prepared(index=7)
    archive.prepare([one], NOW)
    path = tmp_path / "journal-2026-11.jsonl"
    event = json.loads(path.read_text())
    del event["pay_token"]
    path.write_text(json.dumps(event) + "\n")
    (found,) = archive.read()
    assert (found.index, found.pay_token) == (7, "")


def test_a_kill_between_the_two_files_leaves_no_document_without_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive([tmp_path])
    written: list[Path] = []

    def killed(path: Path, lines: bytes) -> None:
        if written:
            raise Unavailable("killed")
        written.append(path)
        append(path, lines)

    monkeypatch.setattr("billing.invoicing.archive.append", killed)
    with pytest.raises(Unavailable):
        archive.prepare([prepared(index=7)], NOW)
    assert [path.name for path in written] == ["journal-2026-11.jsonl"] and archive.read() == []


def test_a_tail_reads_on_where_it_ended_and_takes_no_half_line(tmp_path: Path) -> None:
    tail, path = Tail(), tmp_path / "a.jsonl"
    append(path, b"one\n")
    assert list(tail.lines(tmp_path, "*.jsonl")) == [b"one"]
    with path.open("ab") as file:
        file.write(b"cut")
    assert list(tail.lines(tmp_path, "*.jsonl")) == []
    append(path, b"two\n")
    append(tmp_path / "b.jsonl", b"three\n")
    assert list(tail.lines(tmp_path, "*.jsonl")) == [b"two", b"three"]
    assert list(tail.lines(tmp_path, "*.jsonl")) == []
    path.write_bytes(b"new\n")
    assert list(tail.lines(tmp_path, "*.jsonl")) == [b"new"], "a file that was replaced is read from its start"


def test_lines_that_were_not_all_taken_are_read_again(tmp_path: Path) -> None:
    tail = Tail()
    append(tmp_path / "a.jsonl", b"one\ntwo\n")
    lines = tail.lines(tmp_path, "*.jsonl")
    assert next(lines) == b"one"
    lines.close()  # type: ignore[attr-defined]
    assert list(tail.lines(tmp_path, "*.jsonl")) == [b"one", b"two"]
