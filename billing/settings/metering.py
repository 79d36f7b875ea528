"""Settings of metering: the sources of GPU time, and the meters of pushed events."""

from typing import Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator

from billing.core.errors import Invalid
from billing.core.period import parse_time
from billing.events.meter import BUILT_IN, parse_path
from billing.metering.sources.slurm import inventory
from billing.settings.section import Section, as_value_error, web

_ONLY_FOR: Final = {
    "command": ("slurm",),
    "files": ("slurm", "csv"),
    "timezone": ("slurm",),
    "gpus_per_node": ("slurm",),
    "model": ("slurm", "kubernetes", "csv"),
    "targets": ("dcgm",),
    "url": ("prometheus", "kubernetes"),
}
"""Keys of a source that only some types have."""


class SourceSettings(Section):
    """One source of GPU samples."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique name")
    type: Literal["prometheus", "dcgm", "slurm", "kubernetes", "csv"] = Field(
        description="prometheus (HTTP API), dcgm (exporter pages), slurm (sacct), kubernetes (kube-state-metrics in a Prometheus) or csv (usage files)"
    )
    url: str = Field(default="", description="prometheus, kubernetes: base URL of the server")
    targets: list[str] = Field(default_factory=list, description="dcgm: URLs of the exporters' pages")
    command: list[str] = Field(
        default_factory=list,
        description="slurm: how sacct is called, one word each and without a shell; its options are added; default sacct, if there are no files",
    )
    files: list[str] = Field(
        default_factory=list,
        description="slurm, csv: files or patterns; a first line `# covers START END` says what a file is complete for",
    )
    timezone: str = Field(default="UTC", description="slurm: zone of times in files; the command is asked in UTC")
    gpus_per_node: dict[str, str | int] = Field(
        default_factory=dict,
        description="slurm: GPUs of nodes, as gres; a node that is left out has what jobs of a window held at once",
    )
    model: str = Field(
        default="",
        max_length=100,
        description="slurm, kubernetes, csv: model of devices whose type is not told",
    )
    metric: str = Field(
        default="DCGM_FI_DEV_GPU_TEMP",
        pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$",
        description="Metric that proves that a device is there",
    )
    matchers: str = Field(default="", description='prometheus, kubernetes: further label matchers, like job="dcgm"')
    tenant_label: str = Field(
        default="namespace",
        pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="Label that says who holds a device; slurm: account, user, partition or qos (default account); kubernetes: also label_... of the pod",
    )
    scrape_interval_seconds: int = Field(default=60, ge=1, le=86400, description="How often devices are sampled")
    max_gap_seconds: int | None = Field(
        default=None, ge=1, le=864000, description="Longest pause that is no gap; default 2.5 intervals"
    )
    lag_seconds: int = Field(default=60, ge=0, le=86400, description="How late the last sample of a window may arrive")
    timeout_seconds: int = Field(default=120, ge=1, le=3600, description="How long an answer may take")
    concurrency: int = Field(default=16, ge=1, le=256, description="dcgm: pages asked for at once")
    since: str = Field(default="", description="First time to read (RFC 3339); default: the hour of the first start")
    evidence: Literal["operator", "tenant"] = Field(
        default="tenant", description="Who controls the exporter; only operator evidence excludes leased time by itself"
    )
    exclusion_minimum_seconds: int = Field(
        default=900, ge=60, le=864000, description="A leased device must be missing so long to be excluded"
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="prometheus: extra HTTP headers, like X-Scope-OrgID"
    )

    @field_validator("since")
    @classmethod
    def _time(cls, value: str) -> str:
        if value:
            as_value_error(lambda: parse_time(value))
        return value

    @field_validator("url", "targets")
    @classmethod
    def _reachable(cls, value: str | list[str]) -> str | list[str]:
        return web(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "prometheus" and not self.url:
            raise ValueError("a prometheus source needs url")
        if self.type == "dcgm" and not self.targets:
            raise ValueError("a dcgm source needs targets")
        if self.type == "kubernetes" and not self.url:
            raise ValueError("a kubernetes source needs url, that of the Prometheus which holds kube-state-metrics")
        if self.type == "csv" and not self.files:
            raise ValueError("a csv source needs files")
        for name, types in _ONLY_FOR.items():
            if self.type not in types and getattr(self, name) != type(self).model_fields[name].get_default(
                call_default_factory=True
            ):
                raise ValueError(f"{name} is a key of {' and '.join(types)} sources, and this one is {self.type}")
        if self.type == "slurm":
            self._check_slurm()
        if self.gap_seconds < self.scrape_interval_seconds:
            raise ValueError("max_gap_seconds is shorter than scrape_interval_seconds")
        return self

    def _check_slurm(self) -> None:
        """Raises ValueError for what cannot be read as sacct's."""
        if self.command and self.files:
            raise ValueError("a slurm source has either command or files")
        if self.command and not self.command[0]:
            raise ValueError("command begins with an empty word")
        if self.tenant_label not in ("namespace", "account", "user", "partition", "qos"):
            raise ValueError("tenant_label of a slurm source is account, user, partition or qos")
        if self.timezone not in available_timezones():
            raise ValueError(f"timezone {self.timezone!r} is not known; write it like Europe/Berlin")
        try:
            kinds = inventory(self.gpus_per_node)
        except Invalid as error:
            raise ValueError(str(error)) from None
        bare = next((node for node, known in kinds.items() if any(not kind for kind, _ in known)), "")
        if bare and not self.model:
            raise ValueError(f"gpus_per_node names no type for {bare}; write it like h100:8, or set model")

    @property
    def gap_seconds(self) -> int:
        return self.max_gap_seconds or self.scrape_interval_seconds * 5 // 2


class MeterSettings(Section):
    """One meter: what pushed events of a type come to."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,40}$", description="Unique name; a SKU of the price book names it")
    event_type: str = Field(min_length=1, max_length=200, description="Type of the events that it counts")
    value: str = Field(
        default="", max_length=200, description="Where the value is in an event's data: /usage/tokens or $.usage.tokens"
    )
    aggregation: Literal["sum", "count", "max", "latest"] = Field(
        description="sum, count, max or latest; the last two by subject, and the subjects of a tenant add up"
    )
    unit: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9 /-]{0,30}$", description="What one is called on the invoice")

    @field_validator("value")
    @classmethod
    def _path(cls, value: str) -> str:
        as_value_error(lambda: parse_path(value))
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.aggregation == "count" and self.value:
            raise ValueError("a count has no value")
        if self.aggregation != "count" and not self.value:
            raise ValueError(f"a {self.aggregation} needs value, the path to it")
        if self.name == BUILT_IN or self.unit == "device-hour":
            raise ValueError(f"{BUILT_IN} and device-hour are what GPUs are metered in")
        return self


class MeteringSettings(Section):
    sources: list[SourceSettings] = Field(default_factory=list, description="Where GPU samples come from")
    meters: list[MeterSettings] = Field(default_factory=list, description="What pushed events are counted as")
