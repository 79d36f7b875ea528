"""What exporters call things: names changed over the years and behind Prometheus, and all of them are accepted.

The names are data, in `exporters.toml`: a further exporter is a table there, and no code.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from billing.core.errors import Invalid
from billing.fleet.gpu import DeviceKey

_TABLES: Final = Path(__file__).with_name("exporters.toml")
_TEXT: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,252}")
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
    own_pod: re.Pattern[str]
    own_containers: frozenset[str]
    fallbacks: tuple[tuple[str, ...], ...] = ()
    gpu_i_id: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    nowhere: frozenset[str] = frozenset()
    uuid_prefix: str = ""
    holders: Mapping[str, tuple[Holder, ...]] | None = None
    profiles: Mapping[str, str] | None = None

    def holder(self, tenant_label: str) -> tuple[Holder, ...]:
        """Where to look for who holds a device. A label without an entry may be `exported_` too."""
        known = (self.holders or {}).get(tenant_label)
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
    """All tables, by name."""
    return {name: _exporter(name, table) for name, table in tomllib.loads(_TABLES.read_text()).items()}


def exporter_named(name: str) -> Exporter:
    """Raises Invalid for an exporter without a table."""
    found = exporters().get(name)
    if found is None:
        raise Invalid(f"there is no exporter table {name}", remedy=f"known are {', '.join(sorted(exporters()))}")
    return found


def _exporter(name: str, table: Mapping[str, Any]) -> Exporter:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["own_pod"] = re.compile(table["own_pod"])
    values["own_containers"] = frozenset(["", *table["own_containers"]])
    values["fallbacks"] = tuple(tuple(names) for names in table.get("fallbacks", ()))
    values["nowhere"] = frozenset(table.get("nowhere", ()))
    values["holders"] = {label: tuple(Holder(**one) for one in rows) for label, rows in table["holders"].items()}
    return Exporter(name=name, **values)


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
        return (self._exporter.profiles or {}).get(match.group(1), match.group(1))

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
