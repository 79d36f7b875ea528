"""Usage files."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Unavailable, Untrusted
from billing.core.period import at_second, rfc3339
from billing.fleet.gpu import DeviceKey
from billing.metering.coverage import presence
from billing.metering.holdings import EXACT
from billing.metering.reading import Reading
from billing.metering.sources.csvfile import CsvSettings, CsvSource, labelled, parse
from tests.factories import H100, second

HEADER = "device,label,start,end,model\n"


def when(hours: float) -> str:
    return rfc3339(at_second(second(0) + round(hours * 3600)))


def line(device: str, label: str, start: float, end: float, model: str = H100) -> str:
    return f"{device},{label},{when(start)},{when(end)},{model}\n"


def source(tmp_path: Path, content: str | bytes, name: str = "usage.csv") -> CsvSource:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return CsvSource(CsvSettings("book", (str(tmp_path / "*.csv"),)))


def said(reading: Reading, uuid: str) -> list[tuple[int, int, tuple[str, ...]]]:
    segments = presence(reading, EXACT).get(DeviceKey(uuid), [])
    return [(start - second(0), end - second(0), seen.labels) for start, end, seen in segments]


def test_rows_are_exact_and_the_time_between_them_is_idle(tmp_path: Path) -> None:
    one = source(
        tmp_path, HEADER + line("GPU-1", "acme", 0.25, 1.5) + line("GPU-1", "beta", 1.75, 2) + line("GPU-2", "", 0, 2)
    )
    reading = one.read((second(0), second(1)))
    assert said(reading, "GPU-1") == [(0, 900, ()), (900, 3600, ("acme",))]
    assert said(reading, "GPU-2") == [(0, 3600, ())]
    reading = one.read((second(1), second(2)))
    assert said(reading, "GPU-1") == [(3600, 5400, ("acme",)), (5400, 6300, ()), (6300, 7200, ("beta",))]
    assert reading.devices[DeviceKey("GPU-1")].model == H100 and reading.samples == 2
    assert one.ping() == f"1 files, 3 lines, until {when(2)}"


def test_rows_of_two_labels_at_one_moment_are_both_kept_and_the_same_label_counts_once(tmp_path: Path) -> None:
    rows = line("GPU-1", "acme", 0, 0.5) + line("GPU-1", "beta", 0.25, 1) + line("GPU-1", "beta", 0.75, 1)
    assert said(source(tmp_path, HEADER + rows).read((second(0), second(1))), "GPU-1") == [
        (0, 900, ("acme",)),
        (900, 1800, ("acme", "beta")),
        (1800, 3600, ("beta",)),
    ]


def test_a_device_may_be_a_number_on_a_host_and_other_offsets_are_understood(tmp_path: Path) -> None:
    content = (
        "\ufeffend,start,label,index,host\r\n"
        "2026-10-01T12:30:00.9+10:00,2026-10-01T02:00:00z,acme,3,n1\r\n"
        "2026-10-01T03:00:00Z,2026-10-01T03:00:00Z,acme,3,n1\r\n"
    )
    reading = source(tmp_path, content).read((second(2), second(3)))
    assert said(reading, "book/n1/3") == [(7200, 9000, ("acme",)), (9000, 10800, ())]
    assert reading.devices[DeviceKey("book/n1/3")].model == "unknown"


def test_what_no_file_covers_is_unread_and_not_zero(tmp_path: Path) -> None:
    one = source(tmp_path, HEADER + line("GPU-1", "acme", 1, 2.5))
    assert said(one.read((second(1), second(2))), "GPU-1") == [(3600, 7200, ("acme",))]
    for hour in (0, 2, 3):
        with pytest.raises(
            Unavailable, match=r"source book: no file covers .* the last one ends at 2026-10-01T02:30:00Z"
        ):
            one.read((second(hour), second(hour + 1)))
    source(tmp_path, f"# covers {when(2)} {when(4)}\n" + HEADER + line("GPU-2", "beta", 2, 2.5), "later.csv")
    assert said(one.read((second(2), second(3))), "GPU-1") == [(7200, 9000, ("acme",))]
    assert said(one.read((second(3), second(4))), "GPU-2") == [(10800, 14400, ())]
    (tmp_path / "usage.csv").unlink()
    with pytest.raises(Unavailable):
        one.read((second(1), second(2)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER + line("GPU-1", "a", 1, 0), "line 2: it ends before it starts"),
        (HEADER + line("GPU-1", "a", 0, 1) + "GPU-1,a,1e9,NaN,m\n", "line 3: '1e9' is not a time"),
        (HEADER + "GPU-1,a,2026-10-01,2026-10-02,m\n", "line 2: '2026-10-01' is not a time with its offset"),
        (HEADER + "GPU-1,a,2026-10-01T00:00:00,2026-10-01T01:00:00,m\n", "not a time with its offset"),
        (HEADER + "GPU-1,a,2026-10-01T00:00:00Z,9999-12-31T00:00:00Z,m\n", "out of range"),
        (HEADER + "GPU-1,a,2026-13-01T00:00:00Z,2026-10-02T00:00:00Z,m\n", "is not a time"),
        (HEADER + ",a,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,m\n", "line 2: no device is named"),
        (HEADER + line("GPU-1", "bäcker", 0, 1), "line 2: 'bäcker' is not plain text"),
        (HEADER + line("GPU-1", "a", 0, 1) + line("GPU-1", "a", 1, 2, "B200"), "line 3: GPU-1 is B200, and on line 2 it is"),
        (HEADER + line("GPU-1", "a", 0, 1) + "GPU-1,a\n", "line 3: 2 fields under 5 headings"),
        (HEADER + line("GPU-1", "a", 0, 1)[:-9], "may be cut off"),
        (b"\0\1\2\n", "binary"),
        (b"PK\x03\x04\xff\xff\n", "no UTF-8"),
        (b"", "is empty"),
        ("label,start,end,colour\n", "'colour' is not known"),
        ("device,profile,label,start,end\n" + f"GPU-1,1g.10gb,a,{when(0)},{when(1)}\n", "go together"),
        (f"# covers soon {when(1)}\n" + HEADER, "'soon' is not a time"),
    ],
)  # fmt: skip
def test_a_file_with_a_mistake_is_refused_whole(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(Untrusted, match=words) as caught:
        source(tmp_path, content).read((second(0), second(1)))
    assert str(caught.value).startswith("source book: usage.csv: ") and "\n" not in str(caught.value)


def test_two_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    source(tmp_path, HEADER + line("GPU-1", "a", 0, 1), "a.csv")
    with pytest.raises(Untrusted, match="in one file and B200 in another"):
        source(tmp_path, HEADER + line("GPU-1", "a", 0, 1, "B200"), "b.csv").read((second(0), second(1)))


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 40), st.sampled_from(["a", "b", ""])), max_size=8),
    st.lists(st.integers(1, 149), max_size=4, unique=True),
)
def test_every_second_carries_the_labels_of_its_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, str]], cuts: list[int]
) -> None:
    spans = [(start, start + length, label) for start, length, label in rows]
    wanted = {
        at: labels
        for at in range(150)
        if (labels := tuple(sorted({label for start, end, label in spans if label and start <= at < end})))
    }
    assert {at: labels for start, end, labels in labelled(spans) for at in range(start, end)} == wanted
    base = second(0)
    text = f"# covers {when(0)} {rfc3339(at_second(base + 150))}\ndevice,label,start,end\n" + "".join(
        f"G,{label},{rfc3339(at_second(base + start))},{rfc3339(at_second(base + end))}\n"
        for start, end, label in spans
    )
    if not spans:
        return
    one = source(tmp_path_factory.mktemp("csv"), text)
    got: dict[int, tuple[str, ...]] = {}
    for lo, hi in pairwise([0, *sorted(cuts), 150]):
        for start, end, labels in said(one.read((base + lo, base + hi)), "G"):
            got.update(dict.fromkeys(range(start, end), labels))
    assert got == {at: wanted.get(at, ()) for at in range(150)}


def test_an_instance_of_a_gpu_is_named_by_id_and_profile() -> None:
    content = f"uuid,gpu_i_id,profile,label,from,to\nGPU-1,7,1g.10gb,a,{when(0)},{when(1)}\n"
    assert list(parse(content.encode(), CsvSettings("s", ())).devices) == [DeviceKey("GPU-1", "7", "1g.10gb")]
