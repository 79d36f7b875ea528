"""Slurm's accounting: what sacct writes, and what a source makes of it."""

import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Invalid, Unavailable, Untrusted
from billing.metering.coverage import Seen, State, presence
from billing.metering.holdings import EXACT
from billing.metering.reading import Reading
from billing.metering.sources import sacct
from billing.metering.sources.sacct import Accounting, Style, gpus_of, parse
from billing.metering.sources.slurm import SlurmSettings, SlurmSource, inventory
from tests.factories import second

GOLDEN = Path(__file__).parents[1] / "golden" / "slurm" / "cluster.sacct"
UTC = Style("account", ZoneInfo("UTC"))
BERLIN = Style("account", ZoneInfo("Europe/Berlin"))
HEADER = "JobIDRaw|Account|State|Start|End|Elapsed|AllocTRES|NodeList\n"
FLEET = inventory({"gpu[001-003]": "h100:8", "gpu004": "h100_1g.10gb:7"})


def row(**fields: str) -> str:
    values = {
        "JobIDRaw": "1", "Account": "acme", "State": "COMPLETED", "Start": "2026-10-01T00:00:00",
        "End": "2026-10-01T01:00:00", "Elapsed": "01:00:00", "AllocTRES": "gres/gpu=1", "NodeList": "n1", **fields,
    }  # fmt: skip
    return "|".join(values[name] for name in HEADER.strip().split("|")) + "\n"


def parsed(*rows: str, style: Style = UTC) -> Accounting:
    return parse((HEADER + "".join(rows)).encode(), style)


def spans(reading: Reading, label: str) -> dict[str, list[tuple[int, int]]]:
    """When a label held which device, in seconds since the start of October."""
    found: dict[str, list[tuple[int, int]]] = {}
    for key, segments in presence(reading, EXACT).items():
        for start, end, seen in segments:
            if seen.labels == (label,):
                found.setdefault(str(key), []).append((start - second(0), end - second(0)))
    return found


def seconds(reading: Reading) -> dict[str, int]:
    """GPU-seconds by label; idle time under the empty one."""
    found: dict[str, int] = {}
    for segments in presence(reading, EXACT).values():
        for start, end, seen in segments:
            assert seen == Seen(State.PRESENT, seen.labels) and len(seen.labels) <= 1
            label = "".join(seen.labels)
            found[label] = found.get(label, 0) + end - start
    return found


@pytest.mark.parametrize(
    ("tres", "gpus"),
    [
        ("billing=8,cpu=8,gres/gpu=8,gres/gpu:h100=8,mem=1T,node=1", {("h100", ""): 8}),
        ("gres/gpu:h100=8,gres/gpu=8", {("h100", ""): 8}),
        ("cpu=1,gres/gpu=2", {("", ""): 2}),
        ("gres/gpu:a100=2,gres/gpu:h100=4,gres/gpu=6", {("a100", ""): 2, ("h100", ""): 4}),
        ("gres/gpu=8,gres/gpu:h100=4", {("h100", ""): 4, ("", ""): 4}),
        ("gres/gpu:h100=8", {("h100", ""): 8}),
        ("gres/gpu:H100=1,GRES/GPU=1", {("h100", ""): 1}),
        ("gres/gpu:a100_1g.5gb=3,gres/gpu=3", {("a100", "1g.5gb"): 3}),
        ("gres/gpu:1g.10gb=3", {("", "1g.10gb"): 3}),
        ("gres/gpumem=80G,gres/gpuutil=100,gres/shard=4,gres/mps=50,billing=900", {}),
        ("gres/gpu=0", {}),
        ("", {}),
    ],
)
def test_typed_gpus_beat_untyped_ones_and_nothing_is_counted_twice(tres: str, gpus: dict[Any, int]) -> None:
    assert dict(gpus_of(tres)) == gpus


@pytest.mark.parametrize(
    "tres", ["gres/gpu=many", "gres/gpu=-1", "gres/gpu=1.5", "gres/gpu:=1", "gres/gpu=9999999", "gres/gpu:a/b=1"]
)
def test_a_number_of_gpus_that_is_none_is_a_problem_and_not_zero(tres: str) -> None:
    with pytest.raises(Invalid):
        gpus_of(tres)
    found = parsed(row(AllocTRES=tres), row(JobIDRaw="2"))
    assert [one.job for one in found.records] == ["2"] and found.problems[0].startswith("line 2: ")


def test_steps_pending_and_unstarted_jobs_hold_nothing() -> None:
    found = parsed(
        row(), row(JobIDRaw="1.batch"), row(JobIDRaw="1.extern"), row(JobIDRaw="1.0"),
        row(JobIDRaw="2", State="PENDING", Start="Unknown", End="Unknown"),
        row(JobIDRaw="3", State="CANCELLED by 7", Start="None", NodeList="None assigned"),
        row(JobIDRaw="4", State="CANCELLED by 7", Start="Unknown"),
        row(JobIDRaw="5", AllocTRES="cpu=4"),
    )  # fmt: skip
    assert [one.job for one in found.records] == ["1"] and not found.problems


def test_every_run_of_a_requeued_job_counts_and_the_same_run_counts_once() -> None:
    first = row(State="REQUEUED", Start="2026-10-01T00:00:00", End="2026-10-01T00:10:00")
    running = row(State="RUNNING", Start="2026-10-01T00:20:00", End="Unknown")
    ended = row(State="COMPLETED", Start="2026-10-01T00:20:00", End="2026-10-01T00:50:00")
    for rows in ((first, running, ended), (first, ended, running), (first, ended, ended, running)):
        found = parsed(*rows)
        assert [(one.start - second(0), one.end and one.end - second(0)) for one in found.records] == [
            (0, 600),
            (1200, 3000),
        ]
        assert not found.problems
    other = row(State="COMPLETED", Start="2026-10-01T00:20:00", End="2026-10-01T00:51:00")
    assert "two records of one run" in parsed(ended, other).problems[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"End": "2026-09-30T23:00:00"}, "ends before it starts"),
        ({"End": "Unknown"}, "is COMPLETED and has no end"),
        ({"Start": "1000000000000000"}, "no time between"),
        ({"Start": "+1000000000-01-01T00:00:00"}, "is no time"),
        ({"Start": "yesterday"}, "is no time"),
        ({"End": "NaN"}, "is no time"),
        ({"Account": ""}, "no account that is plain text"),
        ({"Account": "bäcker"}, "no account that is plain text"),
        ({"NodeList": "n[1-"}, "no list of hosts"),
        ({"NodeList": "n[1-99999999]"}, "more than 65536 hosts"),
        ({"Account": "a|b"}, "9 fields under 8 headings"),
    ],
)
def test_a_line_that_cannot_be_right_is_a_problem_with_its_number(fields: dict[str, str], words: str) -> None:
    found = parsed(row(**fields), row(JobIDRaw="2"))
    assert [one.job for one in found.records] == ["2"]
    (problem,) = found.problems
    assert problem.startswith("line 2: ") and words in problem and "\n" not in problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "without a header"),
        (b"\x00\xff\x00binary\n", "binary"),
        (b"\xff\xfe\xfd\n", "no header"),
        (HEADER.encode()[:-1], "cut off"),
        ((HEADER + row()).encode()[:-7], "cut off"),
        (row().encode(), "no header of sacct"),
        (b"JobIDRaw|Account\n", "state, start, end, alloctres, nodelist"),
        ((HEADER + "x" * 10_000_000 + "\n").encode(), "line 2 is longer"),
        (b"<html>login</html>\n", "no header"),
        (("Cluster|" + HEADER + "a|" + row() + "b|" + row()).encode(), "several clusters"),
    ],
)
def test_what_is_no_output_of_sacct_is_refused_whole(content: bytes, words: str) -> None:
    with pytest.raises(Untrusted, match=words) as caught:
        parse(content, UTC)
    assert len(str(caught.value)) < 300


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_understood(noise: bytes) -> None:
    for content in (noise, HEADER.encode() + noise, (HEADER + row()).encode() + noise + b"\n"):
        try:
            found = parse(content, UTC)
        except Untrusted:
            continue
        assert all(one.label and one.nodes for one in found.records)


def test_windows_line_ends_a_mark_and_other_columns_are_fine() -> None:
    text = "\ufeffNodeList|QOS|AllocTRES|End|Start|State|Account|JobID|\r\nn1|normal|gres/gpu=1|200|100|COMPLETED|acme|7_1|\r\n"
    (one,) = parse(text.encode(), UTC).records
    assert (one.job, one.start, one.end, one.label) == ("7_1", 100, 200, "acme")


def test_an_hour_that_happened_twice_is_told_apart_by_the_elapsed_time() -> None:
    """In Berlin 2026-10-25 02:30 happened at 00:30 and at 01:30 UTC."""
    base = second(24 * 24)  # 2026-10-25T00:00:00Z

    def when(start: str, end: str, elapsed: str, **more: str) -> tuple[int, int | None, int]:
        found = parsed(row(Start=f"2026-10-25T{start}", End=f"2026-10-25T{end}" if end != "Unknown" else end,
                           Elapsed=elapsed, **more), style=BERLIN)  # fmt: skip
        (one,) = found.records
        return one.start - base, None if one.end is None else one.end - base, len(found.problems)

    assert when("01:30:00", "02:30:00", "01:00:00") == (-1800, 1800, 0)
    assert when("01:30:00", "02:30:00", "02:00:00") == (-1800, 5400, 0)
    assert when("02:30:00", "03:30:00", "02:00:00") == (1800, 9000, 0)
    assert when("02:30:00", "03:30:00", "01:00:00") == (5400, 9000, 0)
    assert when("02:10:00", "02:20:00", "01:10:00") == (600, 4800, 0)
    assert when("02:50:00", "02:20:00", "00:30:00") == (3000, 4800, 0)
    assert when("02:10:00", "02:20:00", "00:10:00") == (4200, 4800, 1), (
        "both fit: the same length either way, and doubt"
    )
    assert when("02:30:00", "Unknown", "00:10:00", State="RUNNING") == (5400, None, 1), "the later start, and doubt"
    assert when("12:00:00", "13:00:00", "01:00:00") == (39600, 43200, 0)


def test_an_hour_that_never_happened_is_a_problem() -> None:
    found = parsed(row(Start="2026-03-29T02:30:00", End="2026-03-29T04:00:00"), style=BERLIN)
    assert not found.records and "did not happen in Europe/Berlin" in found.problems[0]


@given(
    st.integers(10**8, 4 * 10**9),
    st.integers(0, 200_000),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "UTC"]),
)
def test_local_times_with_their_elapsed_time_give_the_exact_length(start: int, length: int, name: str) -> None:
    from datetime import datetime

    zone = ZoneInfo(name)
    local = [datetime.fromtimestamp(at, zone).replace(tzinfo=None).isoformat() for at in (start, start + length)]
    days, rest = divmod(length, 86_400)
    elapsed = f"{days}-{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    found = parsed(row(Start=local[0], End=local[1], Elapsed=elapsed), style=Style("account", zone))
    (one,) = found.records
    assert one.end is not None and one.end - one.start == length
    assert one.start == start or found.problems, "what cannot be told is said"


# the source


def fake_sacct(tmp_path: Path, body: str) -> str:
    """A program that answers like sacct: real, with arguments and environment as the source gives them."""
    path = tmp_path / "sacct"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time, subprocess\n{body}\n")
    path.chmod(0o755)
    return str(path)


def from_golden(tmp_path: Path) -> str:
    return fake_sacct(
        tmp_path,
        "assert os.environ['TZ'] == 'UTC' and os.environ['SLURM_TIME_FORMAT'] == '%s'\n"
        "for wanted in ('--allusers', '--allocations', '--duplicates', '--parsable2'): assert wanted in sys.argv\n"
        f"open({str(tmp_path / 'asked')!r}, 'a').write(' '.join(sys.argv[-2:]) + '\\n')\n"
        f"sys.stdout.write(open({str(GOLDEN)!r}).read())",
    )


def source(command: str, **fields: Any) -> SlurmSource:
    return SlurmSource(SlurmSettings(name="coast", command=(command,), timeout_seconds=5, **fields))


def test_an_hour_of_a_cluster_to_the_second(tmp_path: Path) -> None:
    one = source(from_golden(tmp_path), inventory=FLEET)
    reading = one.read((second(0), second(1)))
    assert (tmp_path / "asked").read_text() == "--starttime=2026-09-30T23:59:59 --endtime=2026-10-01T01:00:01\n"
    assert not reading.problems and reading.samples == 3
    assert spans(reading, "acme") == {f"coast/gpu001/h100/{gpu}": [(600, 3600)] for gpu in range(8)}
    assert spans(reading, "beta") == {f"coast/gpu00{n}/h100/{gpu}": [(0, 3600)] for n in (2, 3) for gpu in range(8)}
    assert seconds(reading) == {
        "acme": 8 * 3000, "beta": 16 * 3600, "gamma": 3 * 3600, "": 8 * 600 + 4 * 3600,
    }  # fmt: skip
    assert {device.model for device in reading.devices.values()} == {"h100"}
    assert {key.profile for key in reading.devices if not key.is_whole} == {"1g.10gb"}


def test_arrays_requeues_running_and_suspended_jobs(tmp_path: Path) -> None:
    one = source(from_golden(tmp_path), inventory=FLEET)
    reading = one.read((second(1), second(2)))
    assert seconds(reading)["acme"] == 8 * 600 + 2 * 930 + 2 * 1800
    assert seconds(reading)["beta"] == 16 * 3600 + 4 * 300 + 4 * 900
    later = one.read((second(2), second(3)))
    assert seconds(later)["gamma"] == 8 * 3600, "a suspended job keeps its GPUs"
    assert seconds(later)["beta"] == 4 * 3600, "a job without an end runs on"


def test_without_an_inventory_a_node_has_as_many_gpus_as_were_held_at_once(tmp_path: Path) -> None:
    reading = source(from_golden(tmp_path)).read((second(1), second(2)))
    by_node = {
        name: sum(key.uuid.startswith(f"coast/{name}/") for key in reading.devices) for name in ("gpu001", "gpu002")
    }
    assert by_node == {"gpu001": 8, "gpu002": 8} and not reading.problems
    assert seconds(reading)["acme"] == 8 * 600 + 2 * 930 + 2 * 1800


def test_what_does_not_fit_is_a_problem_and_is_not_billed(tmp_path: Path) -> None:
    small = inventory({"gpu001": "h100:6", "gpu[002-003]": 8})
    reading = source(from_golden(tmp_path), inventory=small, model="h100").read((second(0), second(1)))
    assert seconds(reading)["acme"] == 6 * 3000
    lines = sorted(reading.problems)
    assert lines[0] == "gpu004 is not in gpus_per_node: its idle GPUs are not seen"
    assert lines[1] == (
        "job 9001/h100 holds 2 GPUs more than gpu001 has, not billed, 2026-10-01T00:10:00Z to 2026-10-01T01:00:00Z"
    )
    assert len(lines) == 2 and seconds(reading)["gamma"] == 3 * 3600, (
        "what is not in the settings is billed all the same"
    )


def held(tmp_path: Path, *rows: str, **fields: Any) -> Reading:
    (tmp_path / "out").write_text(HEADER + "".join(rows))
    command = fake_sacct(tmp_path, f"sys.stdout.write(open({str(tmp_path / 'out')!r}).read())")
    return source(command, **fields).read((second(0), second(1)))


def test_a_job_that_is_spread_unevenly_finds_the_gpus_that_others_left(tmp_path: Path) -> None:
    reading = held(
        tmp_path,
        row(JobIDRaw="1", NodeList="n[1-2]", AllocTRES="gres/gpu=9"),
        row(JobIDRaw="2", NodeList="n1", AllocTRES="gres/gpu=7", Account="beta"),
        inventory=inventory({"n[1-2]": "8"}), model="h100",
    )  # fmt: skip
    assert seconds(reading) == {"acme": 9 * 3600, "beta": 7 * 3600} and not reading.problems


def test_gpus_without_a_type_on_a_node_with_several_types_are_a_problem(tmp_path: Path) -> None:
    reading = held(tmp_path, row(AllocTRES="gres/gpu=2"), inventory=inventory({"n1": "h100:4,a100:4"}))
    assert seconds(reading) == {"": 8 * 3600}
    assert "let Slurm account for gres/gpu:TYPE" in next(iter(reading.problems))


def test_a_type_that_the_settings_do_not_know_is_billed_and_reported(tmp_path: Path) -> None:
    reading = held(tmp_path, row(AllocTRES="gres/gpu:b200=2"), inventory=inventory({"n1": "h100:4"}))
    assert seconds(reading) == {"acme": 2 * 3600, "": 4 * 3600}
    assert reading.problems == {"gpus_per_node knows no b200 on n1: what jobs held there counts"}


def test_another_column_may_name_the_tenant(tmp_path: Path) -> None:
    assert seconds(source(from_golden(tmp_path), label="user").read((second(0), second(1))))["ada"] == 8 * 3000


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("time.sleep(60)", Unavailable, "did not answer within 1 s"),
        ("subprocess.Popen(['sleep', '60']); sys.exit(0)", Unavailable, "did not answer within 1 s"),
        ("print('half'); sys.exit(1)", Unavailable, "ended with code 1: it said nothing"),
        (
            "sys.stderr.write('slurmdbd: Connection refused\\n'); sys.exit(1)",
            Unavailable,
            "code 1: slurmdbd: Connection",
        ),
        ("sys.stderr.write('sacct: error: Problem talking to the database\\n')", Unavailable, "complained"),
        ("", Untrusted, "without a header"),
        ("os.write(1, bytes(range(256)))", Untrusted, "binary"),
        ("os.kill(os.getpid(), 9)", Unavailable, "ended with code -9"),
    ],
)
def test_a_command_that_fails_fails_the_read(tmp_path: Path, body: str, error: type[Exception], words: str) -> None:
    one = SlurmSource(SlurmSettings(name="s", command=(fake_sacct(tmp_path, body),), timeout_seconds=1))
    with pytest.raises(error, match=words):
        one.read((second(0), second(1)))


def test_a_command_that_hangs_is_not_left_running(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    body = (
        f"child = subprocess.Popen(['sleep', '600'])\nopen({str(mark)!r}, 'w').write(str(child.pid))\ntime.sleep(600)"
    )
    with pytest.raises(Unavailable):
        SlurmSource(SlurmSettings(name="s", command=(fake_sacct(tmp_path, body),), timeout_seconds=2)).read((0, 3600))
    status = Path(f"/proc/{mark.read_text()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_too_much_output_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.metering.sources.program.OUTPUT_BYTES_MAX", 1 << 20)
    with pytest.raises(Untrusted, match="more than 1048576 bytes"):
        source(fake_sacct(tmp_path, "while True: os.write(1, b'x' * 65536)")).read((0, 3600))


@pytest.mark.parametrize("command", ["/nowhere/sacct", "/etc", "a\0b"])
def test_a_command_that_is_not_there_is_named(command: str) -> None:
    with pytest.raises(Unavailable, match="cannot be started"):
        source(command).read((0, 3600))


# files


def filed(path: Path, content: str, written: int, **fields: Any) -> SlurmSource:
    path.write_text(content)
    os.utime(path, (written, written))
    return SlurmSource(SlurmSettings(name="f", files=(str(path),), **fields))


def test_a_file_is_believed_for_what_it_covers_and_not_beyond(tmp_path: Path) -> None:
    rows = HEADER + row(End="2026-10-01T00:40:00") + row(JobIDRaw="2", State="RUNNING", End="Unknown")
    path = tmp_path / "jobs.sacct"
    one = filed(path, rows, second(2.5))
    assert seconds(one.read((second(1), second(2)))) == {"acme": 3600}
    with pytest.raises(Unavailable, match=r"no file covers 2026-10-01T02:00:00Z .*# covers START END"):
        one.read((second(2), second(3)))  # written in the middle of it
    with pytest.raises(Unavailable, match="no file covers"):
        one.read((second(0), second(1)))  # jobs may have ended before the file begins
    sure = filed(path, "# covers 2026-10-01T00:00:00Z 2026-10-01T03:00:00Z\n" + rows, second(9))
    assert seconds(sure.read((second(0), second(1)))) == {"acme": 2400 + 3600, "": 1200}
    assert seconds(sure.read((second(2), second(3)))) == {"acme": 3600}
    with pytest.raises(Unavailable):
        sure.read((second(3), second(4)))


def test_the_newest_file_that_covers_a_window_counts(tmp_path: Path) -> None:
    line = "# covers 2026-10-01T00:00:00Z 2026-10-01T0{}:00:00Z\n" + HEADER
    (tmp_path / "a.sacct").write_text(line.format(1) + row(State="RUNNING", End="Unknown"))
    (tmp_path / "b.sacct").write_text(line.format(2) + row(End="2026-10-01T00:30:00"))
    one = SlurmSource(SlurmSettings(name="f", files=(str(tmp_path / "*.sacct"),)))
    assert seconds(one.read((second(0), second(1)))) == {"acme": 1800, "": 1800}
    assert one.ping() == "2 files, 2 runs of jobs with GPUs"


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    one = SlurmSource(SlurmSettings(name="f", files=(str(tmp_path / "*.sacct"),)))
    with pytest.raises(Unavailable, match="source f: there is no file"):
        one.read((0, 3600))
    (tmp_path / "a.sacct").write_bytes(b"\0\1\2")
    with pytest.raises(Untrusted, match=r"source f: a\.sacct: this is binary"):
        one.read((0, 3600))


@pytest.mark.parametrize(
    "wanted", [{"n1": "h100"}, {"n1": 0}, {"n1": "-3"}, {"n[1": 8}, {"n1": 8, "n[1-2]": 4}, {"n1": "a b:1c:2"}, {"": 8}]
)
def test_an_inventory_that_is_none_is_refused(wanted: dict[str, str | int]) -> None:
    with pytest.raises(Invalid):
        inventory(wanted)


def test_an_inventory_is_written_as_gres_are() -> None:
    assert inventory({"n[1-2]": 8, "m": "gpu:H100:4, a100:4"}) == {
        "n1": {("", ""): 8}, "n2": {("", ""): 8}, "m": {("h100", ""): 4, ("a100", ""): 4},
    }  # fmt: skip


jobs = st.lists(
    st.tuples(st.integers(-3000, 9000), st.integers(0, 9000), st.integers(1, 3), st.sampled_from(["acme", "beta"])),
    max_size=8,
)


@given(jobs, st.lists(st.integers(1, 7199), max_size=4, unique=True))
def test_windows_tile_and_bill_what_was_claimed(found: list[tuple[int, int, int, str]], cuts: list[int]) -> None:
    """Two hours, cut anywhere: the same GPU-seconds by label, to the second; 24 GPUs are always enough."""
    text = HEADER + "".join(
        row(JobIDRaw=str(number), Account=label, Start=str(second(0) + start), End=str(second(0) + start + length),
            AllocTRES=f"gres/gpu={count}")
        for number, (start, length, count, label) in enumerate(found)
    )  # fmt: skip

    class Told(SlurmSource):
        def _asked(self, start: str, end: str) -> Accounting:
            return parse(text.encode(), UTC)

    one = Told(SlurmSettings(name="s", inventory=inventory({"n1": 24}), model="h100"))
    total: dict[str, int] = {}
    edges = [0, *sorted(cuts), 7200]
    for a, b in pairwise(edges):
        for label, amount in seconds(one.read((second(0) + a, second(0) + b))).items():
            total[label] = total.get(label, 0) + amount
    wanted: dict[str, int] = {}
    for start, length, count, label in found:
        inside = min(start + length, 7200) - max(start, 0)
        wanted[label] = wanted.get(label, 0) + count * max(0, inside)
    assert {label: amount for label, amount in total.items() if label} == {k: v for k, v in wanted.items() if v}
    assert sum(total.values()) == 24 * 7200


def test_the_columns_that_are_asked_for_are_those_that_are_read() -> None:
    names = [name.lower() for name in sacct.COLUMNS]
    assert len(names) == len(set(names)) and set(sacct.LABELS) <= set(names)
