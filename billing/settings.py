"""The settings: one frozen tree, read once, from a TOML file and the environment. Unknown keys refuse to start.

Every key is also an environment variable: `database.url` is STABLEMETER_DATABASE__URL. Lists are given there as JSON.
A private key in any setting is refused, and its value is never shown.
"""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from billing.core.errors import Invalid, NotFound
from billing.core.onchain import ZERO_ADDRESS, parse_address
from billing.events.meter import BUILT_IN, parse_path

ENV_PREFIX: Final = "STABLEMETER_"
CONFIG_VARIABLE: Final = "STABLEMETER_CONFIG"
DEFAULT_CONFIG: Final = Path("stablemeter.toml")

_SECRET_FIELDS: Final = ("headers", "url", "rpc_urls")
_PRIVATE: Final = (
    (re.compile(r"\s*[xtyzuv]prv[0-9A-Za-z]{20,}\s*"), "an extended private key"),
    (re.compile(r"\s*0x[0-9a-fA-F]{64}\s*"), "what looks like a private key (0x and 64 hex digits)"),
    (re.compile(r"\s*(?:[a-z]{3,8}\s+){11,23}[a-z]{3,8}\s*"), "what looks like a recovery phrase"),
)
_BARE_HEX: Final = re.compile(r"\s*[0-9a-fA-F]{64}\s*")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class IssuerSettings(_Section):
    """Who the invoices are from."""

    name: str = Field(default="Unnamed issuer", min_length=1, max_length=200, description="Name on the invoices")
    address: str = Field(default="", max_length=500, description="Postal address on the invoices")
    tax_id: str = Field(default="", max_length=100, description="Tax number on the invoices")
    series: str = Field(default="INV", pattern=r"^[A-Z][A-Z0-9]{0,11}$", description="Prefix of invoice numbers")


class DatabaseSettings(_Section):
    url: SecretStr = Field(default=SecretStr(""), description="postgresql:// URL; empty: embedded under data_dir")


class SourceSettings(_Section):
    """One source of GPU samples."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique name")
    type: Literal["prometheus", "dcgm"] = Field(description="prometheus (HTTP API) or dcgm (exporter pages)")
    url: str = Field(default="", description="prometheus: base URL of the server")
    targets: list[str] = Field(default_factory=list, description="dcgm: URLs of the exporters' pages")
    metric: str = Field(
        default="DCGM_FI_DEV_GPU_TEMP",
        pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$",
        description="Metric that proves that a device is there",
    )
    matchers: str = Field(default="", description='prometheus: further label matchers, like job="dcgm"')
    tenant_label: str = Field(
        default="namespace", pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", description="Label that says who holds a device"
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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "prometheus" and not self.url:
            raise ValueError("a prometheus source needs url")
        if self.type == "dcgm" and not self.targets:
            raise ValueError("a dcgm source needs targets")
        if self.gap_seconds < self.scrape_interval_seconds:
            raise ValueError("max_gap_seconds is shorter than scrape_interval_seconds")
        return self

    @property
    def gap_seconds(self) -> int:
        return self.max_gap_seconds or self.scrape_interval_seconds * 5 // 2


class MeterSettings(_Section):
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
        _as_value_error(lambda: parse_path(value))
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


class MeteringSettings(_Section):
    sources: list[SourceSettings] = Field(default_factory=list, description="Where GPU samples come from")
    meters: list[MeterSettings] = Field(default_factory=list, description="What pushed events are counted as")


class WalletSettings(_Section):
    """Where invoices are paid to. There is never a private key here."""

    mode: Literal["forwarder", "xpub"] = Field(
        default="forwarder", description="forwarder (address commits to the invoice) or xpub"
    )
    treasury: str = Field(default="", description="forwarder: address that all money goes to, such as a Safe")
    treasury_kind: Literal["contract", "eoa"] = Field(
        default="contract", description="forwarder: contract (a Safe) or eoa (declared to be a plain account)"
    )
    flusher: str = Field(default=ZERO_ADDRESS, description="forwarder: only this address may flush; zero means anyone")
    xpub: str = Field(default="", description="xpub: account-level extended public key, m/44'/60'/0'")
    archive: list[Path] = Field(
        default_factory=list, description="Directories for the documents; default data_dir/archive"
    )

    @field_validator("treasury", "flusher")
    @classmethod
    def _address(cls, value: str) -> str:
        return _as_value_error(lambda: parse_address(value)) if value else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mode == "xpub" and not self.xpub:
            raise ValueError("mode xpub needs wallet.xpub")
        if self.mode == "forwarder" and self.xpub:
            raise ValueError("wallet.xpub is set, but mode is forwarder")
        return self


class TokenSettings(_Section):
    symbol: str = Field(pattern=r"^[A-Za-z0-9.]{1,12}$", description="Symbol, checked against the contract")
    address: str = Field(description="Address of the token contract")
    decimals: int = Field(ge=0, le=36, description="Decimals, checked against the contract")
    listing: Literal["accept", "watch"] = Field(
        default="accept", description="accept, or watch (noticed, but pays nothing)"
    )
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="Currency that one token is worth")

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        return _as_value_error(lambda: parse_address(value))


class ChainSettings(_Section):
    """One EVM chain."""

    chain_id: int = Field(ge=1, lt=2**53, description="Chain id, checked at start")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique name")
    rpc_urls: list[str] = Field(min_length=1, description="RPC endpoints, the preferred one first")
    confirmations: int | None = Field(
        default=None, ge=1, le=100_000, description="Blocks until a payment counts (1: its own)"
    )
    finality: Literal["safe", "finalized"] | None = Field(
        default=None, description="Instead of confirmations: the chain's own tag"
    )
    final_confirmations: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Blocks until nothing can take a payment back; default: the finalized tag",
    )
    start_block: int | None = Field(
        default=None, ge=0, description="First block to read; default: the newest at first start"
    )
    block_seconds: int = Field(default=2, ge=1, le=600, description="Time between blocks, about")
    poll_seconds: int = Field(default=4, ge=1, le=600, description="How often to ask for new blocks")
    timeout_seconds: int = Field(default=20, ge=1, le=300, description="How long an RPC answer may take")
    reorg_blocks_max: int = Field(default=512, ge=16, le=100_000, description="Deeper reorganisations stop the chain")
    tokens: list[TokenSettings] = Field(min_length=1, description="Tokens to listen to")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.confirmations is None) == (self.finality is None):
            raise ValueError("give either confirmations or finality")
        symbols = [token.symbol for token in self.tokens]
        addresses = [token.address for token in self.tokens]
        if len(set(symbols)) != len(symbols) or len(set(addresses)) != len(addresses):
            raise ValueError("a token is listed twice")
        return self


class WebSettings(_Section):
    listen: str = Field(
        default="127.0.0.1:8480", pattern=r"^[^\s]+:\d{1,5}$", description="Address and port to listen on"
    )
    public_url: str = Field(default="", description="URL under which tenants reach the pages; default http://<listen>")


class LogSettings(_Section):
    format: Literal["json", "console"] = Field(default="console", description="json or console")
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written"
    )


class Settings(BaseSettings):
    """All settings. Built by `load`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(default=Path.home() / ".local" / "share" / "stablemeter", description="Where state is kept")
    issuer: IssuerSettings = IssuerSettings()
    database: DatabaseSettings = DatabaseSettings()
    metering: MeteringSettings = MeteringSettings()
    wallet: WalletSettings = WalletSettings()
    chains: list[ChainSettings] = Field(default_factory=list, description="Chains that invoices are paid on")
    web: WebSettings = WebSettings()
    logs: LogSettings = LogSettings()

    @model_validator(mode="before")
    @classmethod
    def _no_private_keys(cls, data: Any) -> Any:
        for path, value in _strings(data, ()):
            refuse_private(".".join(path), value)
        return data

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, values in (
            ("metering.sources.name", [source.name for source in self.metering.sources]),
            ("metering.meters.name", [meter.name for meter in self.metering.meters]),
            ("chains.name", [chain.name for chain in self.chains]),
            ("chains.chain_id", [chain.chain_id for chain in self.chains]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must be unique")
        return self

    @property
    def archive_directories(self) -> list[Path]:
        return self.wallet.archive or [self.data_dir / "archive"]

    @property
    def public_url(self) -> str:
        return (self.web.public_url or f"http://{self.web.listen}").rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # the environment beats the file


def load(path: Path | None = None) -> Settings:
    """Read the file named by --config, STABLEMETER_CONFIG or ./stablemeter.toml (which may be absent), and the
    environment. Raises Invalid with every mistake on one line, NotFound for a file that was named and is not there."""
    named = path or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    found = named or DEFAULT_CONFIG
    content: dict[str, Any] = {}
    if named is not None or found.exists():
        try:
            content = tomllib.loads(found.read_text())
        except FileNotFoundError:
            raise NotFound(f"there is no settings file {found}", remedy="stablemeter init writes one") from None
        except OSError as error:
            raise Invalid(f"{found} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"{found} is no TOML: {error}") from None
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name != CONFIG_VARIABLE:
            section = name.removeprefix(ENV_PREFIX).partition("__")[0].lower()
            if section not in Settings.model_fields:
                raise Invalid(f"the environment variable {name} is no setting", remedy="see: stablemeter init --show")
    try:
        return Settings(**content)
    except ValidationError as error:
        raise Invalid(f"the settings are wrong: {'; '.join(_mistakes(error)[:5])}") from None


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        place, message = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
        message = "unknown key" if one["type"] == "extra_forbidden" else message
        lines.append(f"{place}: {message}" if place else message)
    return lines


def refuse_private(path: str, value: str) -> None:
    """Raises ValueError, without the value, when a setting holds a private key."""
    for pattern, what in _PRIVATE:
        if pattern.fullmatch(value):
            raise ValueError(f"{path} holds {what}; Stablemeter never needs one: remove it and treat it as exposed")
    secret = any(part in _SECRET_FIELDS for part in path.split("."))
    if not secret and _BARE_HEX.fullmatch(value):
        raise ValueError(f"{path} holds 64 hex digits, as a private key has; remove it and treat it as exposed")


def _strings(data: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, dict):
        for name, value in data.items():
            yield from _strings(value, (*path, str(name)))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _strings(value, (*path, str(index)))
    elif isinstance(data, SecretStr):
        yield path, data.get_secret_value()


def _as_value_error(parse: Any) -> str:
    try:
        return str(parse())
    except Invalid as error:
        raise ValueError(str(error)) from None
