"""The settings: one frozen tree, read once, from a TOML file and the environment. Unknown keys refuse to start.

Every key is also an environment variable: `database.url` is STABLEMETER_DATABASE__URL. Lists are given there as JSON.
A private key in any setting is refused, and its value is never shown.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from billing.core.errors import Invalid, NotFound
from billing.core.onchain import ZERO_ADDRESS, parse_address
from billing.core.period import parse_time
from billing.core.privatekeys import refuse_private_in
from billing.metering.exporters import exporter_named

ENV_PREFIX: Final = "STABLEMETER_"
CONFIG_VARIABLE: Final = "STABLEMETER_CONFIG"
DEFAULT_CONFIG: Final = Path("stablemeter.toml")

_METRIC: Final = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
_HEADER: Final = re.compile(r"[\x20-\x7e]*")


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
    backend: Literal["prometheus", "thanos", "mimir", "victoriametrics"] = Field(
        default="prometheus", description="prometheus: what kind of server it is"
    )
    exporter: str = Field(default="dcgm", description="Table of metric and label names: dcgm or nvidia_gpu_exporter")
    metric: str = Field(
        default="",
        pattern=f"{_METRIC}|^$",
        description="Metric that proves that a device is there; default: the exporter's",
    )
    metric_fallbacks: list[Annotated[str, Field(pattern=_METRIC)]] | None = Field(
        default=None, description="Metrics asked only for devices that the first one misses; default: the exporter's"
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
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="prometheus: extra HTTP headers")
    org_id: str = Field(default="", max_length=150, description="prometheus: the X-Scope-OrgID header, for Mimir")
    username: str = Field(default="", max_length=200, description="prometheus: user of HTTP basic authentication")
    password: SecretStr = Field(default=SecretStr(""), description="prometheus: its password")
    bearer_token: SecretStr = Field(
        default=SecretStr(""), description="prometheus: token sent as Authorization: Bearer"
    )
    ca_file: str = Field(
        default="", description="prometheus: file of the authority that signed the server's certificate"
    )
    client_cert_file: str = Field(default="", description="prometheus: file of the client certificate")
    client_key_file: str = Field(default="", description="prometheus: file of its key, unless it is in the same file")

    @field_validator("since")
    @classmethod
    def _time(cls, value: str) -> str:
        if value:
            _as_value_error(lambda: parse_time(value))
        return value

    @field_validator("url", "targets")
    @classmethod
    def _reachable(cls, value: str | list[str]) -> str | list[str]:
        return _web(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type == "prometheus" and not self.url:
            raise ValueError("a prometheus source needs url")
        if self.type == "dcgm" and not self.targets:
            raise ValueError("a dcgm source needs targets")
        if self.gap_seconds < self.scrape_interval_seconds:
            raise ValueError("max_gap_seconds is shorter than scrape_interval_seconds")
        _as_value_error(lambda: exporter_named(self.exporter).name)
        return self

    @model_validator(mode="after")
    def _authenticated(self) -> Self:
        if "@" in self.url.partition("//")[2].partition("/")[0]:
            raise ValueError("url holds credentials; give username and password instead")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password go together")
        if self.username and self.bearer_token.get_secret_value():
            raise ValueError("give username and password or bearer_token, not both")
        if self.client_key_file and not self.client_cert_file:
            raise ValueError("client_key_file needs client_cert_file")
        for name, value in [
            *self.headers.items(),
            ("bearer_token", self.bearer_token),
            ("org_id", SecretStr(self.org_id)),
        ]:
            if not _HEADER.fullmatch(value.get_secret_value()):
                raise ValueError(f"{name} holds what cannot be sent in a header")
        return self

    @property
    def gap_seconds(self) -> int:
        return self.max_gap_seconds or self.scrape_interval_seconds * 5 // 2


class MeteringSettings(_Section):
    sources: list[SourceSettings] = Field(default_factory=list, description="Where GPU samples come from")


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
        if self.mode == "xpub":
            from billing.wallets.hd import AccountKey  # loads elliptic curves, which nobody else needs

            _as_value_error(lambda: AccountKey(self.xpub).fingerprint)
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

    @field_validator("rpc_urls")
    @classmethod
    def _reachable(cls, value: list[str]) -> str | list[str]:
        return _web(value)

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

    @field_validator("listen")
    @classmethod
    def _port(cls, value: str) -> str:
        if int(value.rpartition(":")[2]) > 65535:
            raise ValueError("a port is at most 65535")
        return value

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, value: str) -> str | list[str]:
        return _web(value)


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
        refuse_private_in(data)
        return data

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, values in (
            ("metering.sources.name", [source.name for source in self.metering.sources]),
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
    except SettingsError as error:  # its message names the field, not the value
        field = re.search(r'field "(\w+)"', str(error))
        variable = f"{ENV_PREFIX}{field[1].upper()}" if field else "an environment variable"
        raise Invalid(f"{variable} cannot be read", remedy="lists and tables are given as JSON") from None


class _Alone(Settings):
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def alone(values: dict[str, Any]) -> Settings:
    """Settings from these values and nothing else: a demo must never meet the database of a real installation."""
    return _Alone(**values)


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        place, message = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
        message = "unknown key" if one["type"] == "extra_forbidden" else message
        lines.append(f"{place}: {message}" if place else message)
    return lines


def _web(value: str | list[str]) -> str | list[str]:
    """URLs as they are; the value is not repeated when it is none, because it may hold a key."""
    for one in [value] if isinstance(value, str) else value:
        if one and not re.match(r"https?://[^\s/]", one):
            raise ValueError("is no http:// or https:// URL")
    return value


def _as_value_error(parse: Any) -> str:
    try:
        return str(parse())
    except Invalid as error:
        raise ValueError(str(error)) from None
