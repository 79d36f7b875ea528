"""What exporters call things: names changed over the years and behind Prometheus, and all of them are accepted.

The names are data, in `exporters.toml`: a further exporter is a table there or in a file of the operator, and no code.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from billing.core.errors import Invalid
from billing.fleet.gpu import DeviceKey

_TABLES: Final = Path(__file__).with_name("exporters.toml")
_TEXT: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,252}")
_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PROFILE: Final = re.compile(r"(?:mig[-_ ]*)?([1-9]g\.[0-9]+gb(?:\+[a-z0-9.]+)?)")


class Holder(NamedTuple):
    """Where a holder's name is, and the labels of its pod and container, where these may be the exporter's own (empty: the
    label always speaks of a workload)."""

    label: str
    pod: str = ""
    container: str = ""


@dataclass(frozen=True, slots=True)
class Exporter:
    """One table of `exporters.toml`; it explains the fields."""

    name: str
    presence: tuple[str, ...]
    uuid: tuple[str, ...]
    fallbacks: tuple[tuple[str, ...], ...] = ()
    gpu_i_id: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    nowhere: frozenset[str] = frozenset()
    uuid_prefix: str = ""
    own_pod: re.Pattern[str] = re.compile(r"(?!)")
    own_containers: frozenset[str] = frozenset({""})
    holders: Mapping[str, tuple[Holder, ...]] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)

    def holder(self, tenant_label: str) -> tuple[Holder, ...]:
        """Where to look for who holds a device. A label without an entry may be `exported_` too."""
        known = self.holders.get(tenant_label)
        return known or (
            Holder(f"exported_{tenant_label}"),
            Holder(tenant_label, "pod", "container"),
        )


class Sample(NamedTuple):
    """Whose sample it is: the device, where it is, and the label of its holder (empty: idle)."""

    key: DeviceKey
    model: str
    host: str
    label: str


@cache
def exporters() -> Mapping[str, Exporter]:
    """All tables that come with the program, by name."""
    return _read(_TABLES)


def exporter_named(name: str, file: str = "") -> Exporter:
    """The table of this name, from a file of one's own if it has one. Raises Invalid for an exporter without a table, and for
    a file that holds something else than tables."""
    known = {**exporters(), **(_read(Path(file)) if file else {})}
    found = known.get(name)
    if found is None:
        raise Invalid(f"there is no exporter table {name}", remedy=f"known are {', '.join(sorted(known))}")
    return found


def _read(path: Path) -> Mapping[str, Exporter]:
    try:
        return {name: _exporter(name, table) for name, table in tomllib.loads(path.read_text()).items()}
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is no TOML: {error}") from None
    except _WrongTable as error:
        raise Invalid(
            f"{path}: {error}", remedy="the comments of config/exporters.example.toml say what a table has"
        ) from None


class _WrongTable(Exception):
    """What a table has that it must not, or lacks."""


def _exporter(name: str, table: Any) -> Exporter:
    if not isinstance(table, dict):
        raise _WrongTable(f"{name} is no table")
    values: dict[str, Any] = {"name": name}
    for key, value in table.items():
        shape = _SHAPES.get(key)
        if shape is None:
            raise _WrongTable(f"{name}.{key} is no key of a table")
        try:
            values[key] = shape(value)
        except (TypeError, ValueError, re.error):
            raise _WrongTable(f"{name}.{key} is not what belongs there") from None
    for key in ("presence", "uuid"):
        if not values.get(key):
            raise _WrongTable(f"{name} lacks {key}")
    return Exporter(**values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(_text, value))


def _metrics(value: Any) -> tuple[str, ...]:
    if not all(map(_METRIC.fullmatch, _texts(value))):
        raise ValueError
    return _texts(value)


_SHAPES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "presence": _metrics,
    "fallbacks": lambda value: tuple(map(_metrics, value)),
    **dict.fromkeys(("uuid", "gpu_i_id", "profile", "model", "host"), _texts),
    "nowhere": lambda value: frozenset(_texts(value)),
    "uuid_prefix": _text,
    "own_pod": lambda value: re.compile(_text(value)),
    "own_containers": lambda value: frozenset(["", *_texts(value)]),
    "holders": lambda value: {
        label: tuple(Holder(**{k: _text(v) for k, v in one.items()}) for one in rows) for label, rows in value.items()
    },
    "profiles": lambda value: {_text(wrong): _text(right) for wrong, right in value.items()},
}


def first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of these labels that is set; empty when none is."""
    return next((value for name in names if (value := labels.get(name))), "")


class LabelRules:
    """Turns the labels of one series into a device and its holder."""

    def __init__(self, exporter: Exporter, tenant_label: str = "namespace") -> None:
        """`tenant_label` is the exporter's label that says who holds a device, such as `namespace` or `hpc_job`."""
        self._exporter, self._holders = exporter, exporter.holder(tenant_label)

    def sample(self, labels: Mapping[str, str], instance: str) -> Sample | None:
        """None when no device is named, or a name is not plain text: nothing can be billed on it."""
        table = self._exporter
        uuid = first(labels, table.uuid)
        if uuid and not uuid.startswith(table.uuid_prefix):
            uuid = table.uuid_prefix + uuid
        profile = self._profile(first(labels, table.profile))
        key = DeviceKey(uuid, first(labels, table.gpu_i_id), profile)
        host = next((value for name in table.host if (value := labels.get(name)) and value not in table.nowhere), "")
        host = host or instance.rpartition(":")[0] or instance
        holder = self._holder(labels)
        texts = (uuid, host, *(text for text in (key.gpu_i_id, key.profile, holder) if text))
        if not all(_TEXT.fullmatch(text) for text in texts):
            return None
        return Sample(key, first(labels, table.model) or "unknown", host, holder)

    def _profile(self, text: str) -> str:
        """`MIG 1g.10gb` and `1g.10gb` are one profile. What is no profile at all stays as it is, so that somebody sees it."""
        if not text:
            return ""
        match = _PROFILE.fullmatch(text.strip().lower())
        if match is None:
            return text
        return self._exporter.profiles.get(match.group(1), match.group(1))

    def _holder(self, labels: Mapping[str, str]) -> str:
        """With honor_labels the target's own labels fill the gaps, so an idle GPU seems to be held by the exporter.

        Only then: an `exported_` label is always the exporter's word about a workload. Pod and container must both be the
        exporter's, for a tenant may call its container what it likes.
        """
        table = self._exporter
        for where in self._holders:
            value = labels.get(where.label, "")
            if value:
                pod, container = labels.get(where.pod, ""), labels.get(where.container, "")
                return "" if table.own_pod.fullmatch(pod) and container in table.own_containers else value
        return ""
