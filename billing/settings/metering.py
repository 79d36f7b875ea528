"""Settings of metering: the sources of GPU time, and the meters of pushed events."""

import re
from typing import Annotated, Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, field_validator, model_validator

from billing.core.errors import Invalid
from billing.core.period import parse_time
from billing.events.meter import BUILT_IN, parse_path
from billing.metering.exporters import exporter_named
from billing.metering.sources.access import Access
from billing.metering.sources.slurm import inventory
from billing.settings.section import Section, as_value_error, web

_METRIC: Final = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
_HEADER: Final = re.compile(r"[\x20-\x7e]*")
_ONLY_FOR: Final = {
    "command": ("slurm",),
    "files": ("slurm", "csv"),
    "timezone": ("slurm",),
    "gpus_per_node": ("slurm",),
    "model": ("slurm", "kubernetes", "csv"),
    "targets": ("dcgm",),
    "concurrency": ("dcgm",),
    "exporter": ("prometheus", "dcgm"),
    "exporter_file": ("prometheus", "dcgm"),
    "metric": ("prometheus", "dcgm"),
    "metric_fallbacks": ("prometheus", "dcgm"),
    "shard_instances": ("prometheus",),
    "shard_concurrency": ("prometheus",),
    **dict.fromkeys(("url", "backend", "org_id"), ("prometheus", "kubernetes")),
    **dict.fromkeys(
        ("headers", "username", "password", "bearer_token", "ca_file", "client_cert_file", "client_key_file"),
        ("prometheus", "kubernetes", "dcgm"),
    ),
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
    backend: Literal["prometheus", "thanos", "mimir", "victoriametrics"] = Field(
        default="prometheus", description="prometheus, kubernetes: what kind of server it is"
    )
    exporter: str = Field(
        default="dcgm",
        description="prometheus, dcgm: table of metric and label names: dcgm, nvidia_gpu_exporter, or one of exporter_file",
    )
    exporter_file: str = Field(
        default="",
        description="prometheus, dcgm: file with tables of other exporters, like config/exporters.example.toml",
    )
    metric: str = Field(
        default="",
        pattern=f"{_METRIC}|^$",
        description="prometheus, dcgm: metric that proves that a device is there; default: the exporter's",
    )
    metric_fallbacks: list[Annotated[str, Field(pattern=_METRIC)]] | None = Field(
        default=None,
        description="prometheus, dcgm: metrics asked only for devices that the first one misses; default: the exporter's",
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
    concurrency: int = Field(default=32, ge=1, le=256, description="dcgm: pages asked for at once")
    shard_instances: int = Field(default=100, ge=1, le=10_000, description="prometheus: exporters in one question")
    shard_concurrency: int = Field(default=2, ge=1, le=64, description="prometheus: questions asked at once")
    since: str = Field(default="", description="First time to read (RFC 3339); default: the hour of the first start")
    evidence: Literal["operator", "tenant"] = Field(
        default="tenant", description="Who controls the exporter; only operator evidence excludes leased time by itself"
    )
    exclusion_minimum_seconds: int = Field(
        default=900, ge=60, le=864000, description="A leased device must be missing so long to be excluded"
    )
    exclusion_cap_seconds: int = Field(
        default=259_200,
        ge=0,
        le=2_678_400,
        description="So much of a leased GPU's month is excluded without a person; the rest is proposed",
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Extra HTTP headers of every request")
    org_id: str = Field(
        default="", max_length=150, description="prometheus, kubernetes: the X-Scope-OrgID header, for Mimir"
    )
    username: str = Field(default="", max_length=200, description="User of HTTP basic authentication")
    password: SecretStr = Field(default=SecretStr(""), description="Its password")
    bearer_token: SecretStr = Field(default=SecretStr(""), description="Token sent as Authorization: Bearer")
    ca_file: str = Field(default="", description="File of the authority that signed the server's certificate")
    client_cert_file: str = Field(default="", description="File of the client certificate")
    client_key_file: str = Field(default="", description="File of its key, unless it is in the same file")

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
        if not self.exporter_file:  # a file is read when the source begins
            as_value_error(lambda: exporter_named(self.exporter).name)
        return self

    @model_validator(mode="after")
    def _authenticated(self) -> Self:
        for url in (self.url, *self.targets):
            if "@" in url.partition("//")[2].partition("/")[0]:
                raise ValueError("url holds credentials; give username and password instead")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password go together")
        if self.username and self.bearer_token.get_secret_value():
            raise ValueError("give username and password or bearer_token, not both")
        if self.client_key_file and not self.client_cert_file:
            raise ValueError("client_key_file needs client_cert_file")
        sent = {**self.headers, "bearer_token": self.bearer_token, "org_id": SecretStr(self.org_id)}
        for name, value in sent.items():
            if not _HEADER.fullmatch(value.get_secret_value()):
                raise ValueError(f"{name} holds what cannot be sent in a header")
        return self

    @property
    def access(self) -> Access:
        """Who asks, and where."""
        headers = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.org_id:
            headers["X-Scope-OrgID"] = self.org_id
        return Access(
            url=self.url,
            backend=self.backend,
            username=self.username,
            password=self.password.get_secret_value(),
            bearer_token=self.bearer_token.get_secret_value(),
            headers=headers,
            ca_file=self.ca_file,
            client_cert_file=self.client_cert_file,
            client_key_file=self.client_key_file,
            timeout_seconds=self.timeout_seconds,
        )

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
