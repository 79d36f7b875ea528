"""Physical GPUs, devices, seats. 840 slots divide evenly by 1 to 8, so every share and every MIG slice is a whole number."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from billing.core.period import Seconds, merge
from billing.fleet.place import Place

SLOTS: Final = 840
SLICES: Final = 8
"""Memory slices of a MIG-capable GPU."""

Seat = tuple[int, int]

_PROFILE = re.compile(r"(\d)g\.(\d+)gb(?:\+.*)?")
_SHARE = re.compile(r"1of(\d{1,3})")
_COMPUTE_TO_MEMORY: Final = {1: (1, 2), 2: (2, 4), 3: (4,), 4: (4, 8), 7: (8,)}
"""Memory slices that a profile with so many compute slices can take, the usual number first. GPUs with four compute slices
take twice as many, and some profiles have twice the memory."""
_MEMORY_GB: Final = (
    (re.compile(r"A100.*40\s?GB"), 40),
    (re.compile(r"A30\b"), 24),
    (re.compile(r"H100 NVL"), 94),
    (re.compile(r"GH200.*144\s?G"), 144),
    (re.compile(r"H100.*96\s?GB|GH200|RTX PRO 6000"), 96),
    (re.compile(r"H200"), 141),
    (re.compile(r"GB?200"), 180),
    (re.compile(r"80\s?GB"), 80),
)


@dataclass(frozen=True, slots=True, order=True)
class DeviceKey:
    """How an exporter names a device. Whole GPU: `gpu_i_id` and `profile` are empty. MIG: `uuid` is the parent's."""

    uuid: str
    gpu_i_id: str = ""
    profile: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.gpu_i_id and not self.profile

    @property
    def whole(self) -> "DeviceKey":
        return DeviceKey(self.uuid)

    def __str__(self) -> str:
        return self.uuid if self.is_whole else f"{self.uuid}/{self.gpu_i_id}:{self.profile}"


@dataclass(frozen=True, slots=True)
class Device:
    """A row of the inventory: a device, its seat, and the GPU that it is a part of."""

    id: int
    key: DeviceKey
    gpu_id: int
    seat: Seat
    model: str
    host: str
    instance: str
    source: str
    in_service: Seconds


@dataclass(slots=True)
class Sighting:
    """What readings of a source say about a GPU: during which spans each of its devices was present, and where it was.

    `host` and `instance` are the newest; `places` are all of them, and may be left out when it was in one place only.
    """

    uuid: str
    model: str
    host: str
    instance: str
    devices: dict[DeviceKey, list[Seconds]] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)

    def places_of(self, source: str) -> list[Place]:
        return self.places or [Place(*span, source, self.host, self.instance) for span in merge(self.spans)]

    @property
    def spans(self) -> list[Seconds]:
        return [span for spans in self.devices.values() for span in spans]


def gpu_seat(gpu_id: int) -> Seat:
    """All slots of a GPU."""
    return SLOTS * gpu_id, SLOTS * (gpu_id + 1)


def slots(seat: Seat) -> int:
    return seat[1] - seat[0]


def overlaps(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def slices(profile: str, model: str) -> int:
    """Memory slices (of 8) that a MIG profile takes. By memory where the model's is known (a 1g profile may take one or
    two) and the result is possible for its compute slices, else by these. An unknown profile takes the whole GPU: it is never
    sold twice."""
    match = _PROFILE.fullmatch(profile)
    possible = _COMPUTE_TO_MEMORY.get(int(match.group(1))) if match else None
    if match is None or possible is None:
        return SLICES
    total = next((gb for pattern, gb in _MEMORY_GB if pattern.search(model)), None)
    if total is None:
        return possible[0]
    by_memory = (2 * SLICES * int(match.group(2)) + total) // (2 * total)
    return by_memory if by_memory in possible else possible[0]


def share_profile(parts: int) -> str | None:
    """The profile of one of so many equal shares of a GPU: `1of4`. None when the slots of a GPU do not divide by it."""
    return f"1of{parts}" if parts > 1 and SLOTS % parts == 0 else None


def parts_of(profile: str) -> int:
    """Into how many shares a GPU is divided of which a profile is one; 0 for what is no share."""
    match = _SHARE.fullmatch(profile)
    return int(match.group(1)) if match and share_profile(int(match.group(1))) else 0


def slices_min(profile: str) -> int:
    """The fewest memory slices that a profile can take. Instances that were seen together were there, and if they do not fit,
    our table is wrong about the model."""
    match = _PROFILE.fullmatch(profile)
    return _COMPUTE_TO_MEMORY.get(int(match.group(1)), (1,))[0] if match else 1


def free_seat(gpu_id: int, width: int, taken: Iterable[Seat]) -> Seat | None:
    """The first free place of so many slots, aligned to its width; None when the GPU is full."""
    start = SLOTS * gpu_id
    blocked = list(taken)
    for at in range(start, start + SLOTS - width + 1, width):
        seat = (at, at + width)
        if not any(overlaps(seat, other) for other in blocked):
            return seat
    return None


@dataclass(frozen=True, slots=True)
class Seating:
    """Where the MIG instances of one reading sit: known devices to use, seats for new ones, and what did not fit."""

    known: dict[DeviceKey, Device]
    new: dict[DeviceKey, Seat]
    unseated: list[DeviceKey]


def seat_instances(gpu_id: int, sighting: Sighting, devices: Sequence[Device]) -> Seating:
    """Give every MIG instance or share of a sighting a seat that no other one holds at the same time.

    A device that is known under the same key keeps its seat. Larger instances are seated first, so that alignment
    wastes nothing. Instances that do not fit as large as we take them for are seated as small as they can be.
    """
    seating = _seating(gpu_id, sighting, devices, lambda profile: slices(profile, sighting.model))
    if seating.unseated:
        smaller = _seating(gpu_id, sighting, devices, slices_min)
        return smaller if len(smaller.unseated) < len(seating.unseated) else seating
    return seating


def _seating(gpu_id: int, sighting: Sighting, devices: Sequence[Device], width: Callable[[str], int]) -> Seating:
    seating = Seating({}, {}, [])
    held: list[tuple[Seat, list[Seconds]]] = []

    def taken(spans: list[Seconds]) -> list[Seat]:
        return [seat for seat, others in held if any(overlaps(a, b) for a in spans for b in others)]

    def is_known(key: DeviceKey) -> bool:
        return any(device.key == key for device in devices)

    instances = [(key, spans) for key, spans in sighting.devices.items() if not key.is_whole]
    instances.sort(key=lambda one: (not is_known(one[0]), -width(one[0].profile), one[0]))
    for key, spans in instances:
        blocked = taken(spans)
        seat: Seat | None
        for device in reversed(devices):
            if device.key == key and not any(overlaps(device.seat, other) for other in blocked):
                seating.known[key], seat = device, device.seat
                break
        else:
            parts = parts_of(key.profile)
            seat = free_seat(gpu_id, SLOTS // parts if parts else width(key.profile) * SLOTS // SLICES, blocked)
            if seat is None:
                seating.unseated.append(key)
                continue
            seating.new[key] = seat
        held.append((seat, spans))
    return seating
