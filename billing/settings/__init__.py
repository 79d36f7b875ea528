"""The settings: one frozen tree, read once, from a TOML file and the environment. Unknown keys refuse to start.

Every key is also an environment variable: `database.url` is STABLEMETER_DATABASE__URL. Lists are given there as JSON.
A private key in any setting is refused, and its value is never shown.

Owns: the keys of the file, their limits and defaults, and the refusal of private keys.
Does not own: what the values mean (the rooms that take them).
Invariants: a mistake in a setting stops the start and names the key; a secret's value is in no message.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from billing.core.errors import Invalid, NotFound
from billing.settings.chains import BandSettings, ChainSettings, FeedSettings, TokenSettings, WalletSettings
from billing.settings.compliance import ComplianceSettings, ControlSettings, ListSettings, OracleSettings
from billing.settings.issuer import IssuerSettings, TaxRateSettings
from billing.settings.metering import MeteringSettings, MeterSettings, SourceSettings
from billing.settings.notices import DunningSettings, MailSettings, ProgramSettings, WebhookSettings
from billing.settings.presets import other_create2
from billing.settings.private import refuse_private, strings
from billing.settings.section import Section, web

__all__ = [
    "BandSettings",
    "ChainSettings",
    "ComplianceSettings",
    "ControlSettings",
    "DunningSettings",
    "FeedSettings",
    "IssuerSettings",
    "ListSettings",
    "MailSettings",
    "MeterSettings",
    "MeteringSettings",
    "OracleSettings",
    "ProgramSettings",
    "Settings",
    "SourceSettings",
    "TaxRateSettings",
    "TokenSettings",
    "WalletSettings",
    "WebhookSettings",
    "alone",
    "load",
    "refuse_private",
]

ENV_PREFIX: Final = "STABLEMETER_"
CONFIG_VARIABLE: Final = "STABLEMETER_CONFIG"
DEFAULT_CONFIG: Final = Path("stablemeter.toml")


class DatabaseSettings(Section):
    url: SecretStr = Field(default=SecretStr(""), description="postgresql:// URL; empty: embedded under data_dir")


class WebSettings(Section):
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
        return web(value)


class LogSettings(Section):
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
    dunning: DunningSettings = DunningSettings()
    compliance: ComplianceSettings = ComplianceSettings()
    mail: MailSettings = MailSettings()
    webhooks: list[WebhookSettings] = Field(default_factory=list, max_length=20, description="Who is told what happens")
    programs: list[ProgramSettings] = Field(
        default_factory=list, max_length=20, description="What is run for what happens"
    )
    web: WebSettings = WebSettings()
    logs: LogSettings = LogSettings()

    @model_validator(mode="before")
    @classmethod
    def _no_private_keys(cls, data: Any) -> Any:
        for path, value in strings(data, ()):
            refuse_private(".".join(path), value)
        return data

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, values in (
            ("metering.sources.name", [source.name for source in self.metering.sources]),
            ("metering.meters.name", [meter.name for meter in self.metering.meters]),
            ("webhooks.name", ["mail", *(hook.name for hook in self.webhooks), *(one.name for one in self.programs)]),
            ("chains.name", [chain.name for chain in self.chains]),
            ("chains.chain_id", [chain.chain_id for chain in self.chains]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must be unique")
        for oracle in self.compliance.oracles:
            if oracle.chain not in [chain.name for chain in self.chains]:
                raise ValueError(f"compliance.oracles: there is no chain {oracle.chain}")
        for chain in self.chains if self.wallet.mode == "forwarder" else ():
            if chain.chain_id in other_create2():
                raise ValueError(
                    f"chains.{chain.name}: chain {chain.chain_id} computes contract addresses in another way, so money sent"
                    " there could not be moved; it works with wallet.mode xpub only"
                )
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
