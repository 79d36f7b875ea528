"""Labels that vanish from a whole host at once. An exporter whose kubelet does not answer shows every GPU, and of none who
holds it: it is blind, and says so nowhere.

When GPUs of several holders lose their labels in one scrape and no GPU of the exporter keeps one, what it shows until the
next label is no evidence. Blindness that is only suspected is never bridged: perhaps all of their jobs ended. When they were
of one holder and come back as they were, that is reported only: one job after another looks just so.

A window may begin when the labels are gone already. So what a window ends with is kept, and the next one begins with it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from billing.core.period import DAY, Seconds, at_second, clip, merge, rfc3339
from billing.fleet.gpu import DeviceKey
from billing.metering.reading import Cadence, DeviceRuns, Reading, Run

DEVICES_MIN = 2
"""One GPU that becomes idle is an idle GPU."""
NEVER = 1 << 62
SUSPECTED_SECONDS_MAX = DAY
"""A kubelet is mended within a day. A host that is drained shows no label for weeks: from then on it is idle."""


class _Loss(NamedTuple):
    """A device lost its labels after the sample at `last_ms`; the next one, without, is at `first_ms`."""

    device: DeviceRuns
    labels: tuple[str, ...]
    last_ms: int
    first_ms: int


def distrust(reading: Reading, cadence: Cadence) -> None:
    """Take out of a reading what exporters showed while they did not know holders, and name it among its problems."""
    losses: dict[str, list[_Loss]] = defaultdict(list)
    for device in reading.devices.values():
        for before, after in zip(device.runs, device.runs[1:], strict=False):
            if before.labels and not after.labels and after.first_ms - before.last_ms <= cadence.max_gap_ms:
                losses[device.instance].append(_Loss(device, before.labels, before.last_ms, after.first_ms))
    suspects = {instance for instance, found in losses.items() if len(found) >= DEVICES_MIN}
    if not suspects:
        return
    shown: dict[str, list[DeviceRuns]] = defaultdict(list)
    for device in reading.devices.values():
        if device.instance in suspects:
            shown[device.instance].append(device)
    for instance in sorted(suspects):
        _judge(reading, cadence, losses[instance], shown[instance])


def _judge(reading: Reading, cadence: Cadence, losses: Sequence[_Loss], devices: Sequence[DeviceRuns]) -> None:
    instance = devices[0].instance
    labelled = sorted(run for device in devices for run in device.runs if run.labels)
    for at in sorted({loss.first_ms for loss in losses}):
        lost = [loss for loss in losses if loss.first_ms == at]
        if len(lost) < DEVICES_MIN or any(run.first_ms <= at <= run.last_ms for run in labelled):
            continue
        known_ms = max(loss.last_ms for loss in lost)
        back_ms = min((run.first_ms for run in labelled if run.first_ms > at), default=NEVER)
        what = f"the labels of all {len(lost)} held devices of {instance} vanished at once at {rfc3339(at_second(at // 1000))}"
        if len({loss.labels for loss in lost}) > 1:
            reading.problems.add(f"{what}: until one is seen again nobody knows who held them")
            for device in devices:
                device.runs = _without(device.runs, known_ms, at, back_ms)
            until = min(back_ms // 1000, reading.window[1] + cadence.max_gap_ms // 1000)
            reading.suspected.setdefault(instance, []).append((known_ms // 1000, until))
            reading.answering[instance] = _without(reading.answering.get(instance, ()), known_ms, at, back_ms)
        elif all(_returns(loss, back_ms) for loss in lost):
            reading.problems.add(f"{what} and came back as they were: a pause, or an exporter that did not know them")


def lost_at_end(reading: Reading) -> dict[str, int]:
    """The exporters that know no holders when the window ends, with the second since when."""
    end = reading.window[1]
    return {
        instance: min(start for start, until in spans if until > end)
        for instance, spans in reading.suspected.items()
        if any(until > end for _, until in spans)
    }


def carry(reading: Reading, lost: Mapping[str, int]) -> None:
    """Go on with what the window before ended with (`lost_at_end`): an exporter whose labels were lost knows no holders
    until one of its devices shows a label, or a day is over."""
    begin_ms = reading.window[0] * 1000
    for instance, since in lost.items():
        shown = [device for device in reading.devices.values() if device.instance == instance]
        labelled = [run for device in shown for run in device.runs if run.labels and run.last_ms > begin_ms]
        back_ms = min([(since + SUSPECTED_SECONDS_MAX) * 1000, *(run.first_ms for run in labelled)])
        if back_ms <= begin_ms:
            continue
        for device in shown:
            device.runs = _from(device.runs, back_ms)
        reading.answering[instance] = _from(reading.answering.get(instance, ()), back_ms)
        # It keeps its beginning: the next window must know it.
        reading.suspected[instance] = merge([*reading.suspected.get(instance, ()), (since, back_ms // 1000)])
        reading.problems.add(f"the labels of {instance} are lost since {rfc3339(at_second(since))}")


def doubted(reading: Reading) -> dict[DeviceKey, list[Seconds]]:
    """When devices that showed no label may have been held all the same."""
    parts = {
        instance: [part for span in spans if (part := clip(span, reading.window))]
        for instance, spans in reading.suspected.items()
    }
    return {key: parts[one.instance] for key, one in reading.devices.items() if parts.get(one.instance)}


def _from(runs: Iterable[Run], from_ms: int) -> list[Run]:
    return [Run(max(run.first_ms, from_ms), run.last_ms, run.labels) for run in runs if run.last_ms >= from_ms]


def _returns(loss: _Loss, back_ms: int) -> bool:
    return any(run.first_ms == back_ms and run.labels == loss.labels for run in loss.device.runs)


def _without(runs: Iterable[Run], known_ms: int, from_ms: int, back_ms: int) -> list[Run]:
    """The runs without their samples from `from_ms` until before `back_ms`. There are samples at `known_ms` and `back_ms`."""
    left = []
    for run in runs:
        if run.last_ms < from_ms or run.first_ms >= back_ms:
            left.append(run)
            continue
        if run.first_ms < from_ms:
            left.append(Run(run.first_ms, max(run.first_ms, known_ms), run.labels))
        if run.last_ms >= back_ms:
            left.append(Run(back_ms, run.last_ms, run.labels))
    return left
