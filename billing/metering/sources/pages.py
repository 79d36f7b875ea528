"""Finds the presence lines in the bytes of an exporter's page. The rest of the page is not parsed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from billing.fleet.gpu import DeviceKey
from billing.metering.exporters import LabelRules, Sample

LINE_BYTES_MAX: Final = 64 << 10
REMEMBERED_MAX: Final = 1_000_000

_ANY_METRIC: Final = re.compile(rb"^[a-zA-Z_:][a-zA-Z0-9_:]*[{ \t]", re.MULTILINE)


@dataclass(slots=True)
class Page:
    """What one page proves. With a `problem` it does not prove that a device which it does not show is gone."""

    devices: dict[DeviceKey, tuple[Sample, set[str]]] = field(default_factory=dict)
    problem: str = ""


class PageReader:
    """Reads pages of one kind of exporter. Lines keep their labels for days, so what they mean is remembered."""

    def __init__(self, rules: LabelRules, presence: Sequence[str], fallbacks: Sequence[Sequence[str]]) -> None:
        """A fallback's lines count for devices only that the metrics before it miss."""
        self._rules = rules
        self._needles = [[f"{name}{{".encode() for name in names] for names in (presence, *fallbacks)]
        self._known: dict[tuple[str, bytes], Sample | None] = {}

    def read(self, instance: str, body: bytes) -> Page:
        """Several lines of one device (virtual GPUs, jobs, shares) are one device with several labels."""
        page = Page()
        if not body.endswith(b"\n"):
            page.problem = "page cut off" if body else "empty page"
            return page
        if _ANY_METRIC.search(body) is None:  # a reloading exporter answers 200 with nothing: that is no evidence
            page.problem = "page without a metric"
            return page
        nameless = 0
        for needles in self._needles:
            found: dict[DeviceKey, tuple[Sample, set[str]]] = {}
            for needle in needles:
                nameless += self._collect(instance, body, needle, found)
            for key, seen in found.items():
                page.devices.setdefault(key, seen)
        if nameless:
            page.problem = f"{nameless} lines name no device: the exporter's labels have changed, or the page is broken"
        elif not page.devices:
            page.problem = "page without a GPU: all are gone, or the exporter's metrics have other names now"
        return page

    def _collect(
        self, instance: str, body: bytes, needle: bytes, found: dict[DeviceKey, tuple[Sample, set[str]]]
    ) -> int:
        """Add the devices of one metric's lines. Returns how many lines name none."""
        nameless = 0
        at = body.find(needle)
        while at >= 0:
            end = body.find(b"\n", at)
            if at == 0 or body[at - 1 : at] == b"\n":
                sample = self._sample(instance, body[at + len(needle) : end]) if end - at <= LINE_BYTES_MAX else None
                if sample is None:
                    nameless += 1
                else:
                    found.setdefault(sample.key, (sample, set()))[1].add(sample.label)
            at = body.find(needle, end)
        return nameless

    def _sample(self, instance: str, line: bytes) -> Sample | None:
        labels, brace, _ = line.rpartition(b"}")
        if not brace:
            return None
        known = (instance, labels)
        if known not in self._known:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[known] = self._rules.sample(parse_labels(labels.decode(errors="replace")), instance)
        return self._known[known]


def parse_labels(text: str) -> dict[str, str]:
    """The label pairs inside the braces of an exposition line; quotes and backslashes may be escaped in values."""
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        equals = text.find('="', at)
        if equals < 0:
            break
        value, end = [], equals + 2
        while end < len(text) and text[end] != '"':
            if text[end] == "\\" and end + 1 < len(text):
                end += 1
                value.append("\n" if text[end] == "n" else text[end])
            else:
                value.append(text[end])
            end += 1
        labels[text[at:equals].strip(" ,")] = "".join(value)
        at = end + 1
    return labels
