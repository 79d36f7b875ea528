"""Settings of notices: who is told what happens."""

import base64
import binascii
import re
from email.utils import parseaddr
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from billing.notices.notice import TO_TENANTS, NoticeType
from billing.settings.section import Section, web

_PREFIX: Final = "whsec_"


class DunningSettings(Section):
    remind_before_days: list[int] = Field(
        default=[3], max_length=10, description="Days before an invoice is due at which invoice.reminder is told"
    )
    overdue_days: list[int] = Field(
        default=[1, 7, 14], max_length=10, description="Days after an invoice was due at which invoice.overdue is told"
    )
    suspend_after_days: int | None = Field(
        default=None, ge=0, le=3650, description="Days overdue until a tenant's standing is suspended; default: never"
    )

    @field_validator("remind_before_days", "overdue_days")
    @classmethod
    def _days(cls, value: list[int]) -> list[int]:
        if any(not 0 <= days <= 3650 for days in value) or len(set(value)) != len(value):
            raise ValueError("takes different whole numbers of days, 0 to 3650")
        return sorted(value)


class MailSettings(Section):
    """The server that tenants' e-mail is handed in at."""

    host: str = Field(default="", pattern=r"^[^\s/@]*$", description="SMTP server; empty: no mail is sent")
    port: int = Field(default=587, ge=1, le=65535, description="Its port")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls, tls (from the first byte, port 465), or none (a relay on this host)"
    )
    username: str = Field(default="", description="User name, if it wants one")
    password: SecretStr = Field(default=SecretStr(""), description="Its password")
    sender: str = Field(default="", description="From address, as billing@example.com or Name <billing@example.com>")
    types: list[NoticeType] = Field(
        default=sorted(TO_TENANTS), description="What tenants with an e-mail address are told"
    )

    @field_validator("types")
    @classmethod
    def _worded(cls, value: list[NoticeType]) -> list[NoticeType]:
        if unworded := sorted(set(value) - TO_TENANTS):
            raise ValueError(f"has no mail for {unworded[0]}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _, address = parseaddr(self.sender)
        if self.host and (not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or not self.sender.isprintable()):
            raise ValueError("mail needs a sender: billing@example.com")
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("username and password go together")
        if self.username and self.security == "none":
            raise ValueError("a password is not sent without TLS: set security to starttls or tls")
        return self


class WebhookSettings(Section):
    """One URL that is told what happens, signed by the Standard Webhooks scheme."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique name, shown in lists")
    url: SecretStr = Field(description="http:// or https:// URL that gets the POST; never shown, it may hold a token")
    secrets: list[SecretStr] = Field(
        min_length=1,
        max_length=3,
        description="Signing secrets, whsec_ and 24 to 64 bytes in base64; several while one is replaced",
    )
    types: list[NoticeType] = Field(default_factory=list, description="What it is told; default: everything")

    @field_validator("url")
    @classmethod
    def _reachable(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value():
            raise ValueError("is no http:// or https:// URL")
        web(value.get_secret_value())
        return value

    @field_validator("secrets")
    @classmethod
    def _strong(cls, value: list[SecretStr]) -> list[SecretStr]:
        for one in value:
            text = one.get_secret_value()
            try:
                size = len(base64.b64decode(text.removeprefix(_PREFIX), validate=True))
            except (binascii.Error, ValueError):
                size = 0
            if not text.startswith(_PREFIX) or not 24 <= size <= 64:
                raise ValueError(
                    'is whsec_ and 24 to 64 random bytes in base64: echo "whsec_$(openssl rand -base64 32)"'
                )
        return value


class ProgramSettings(Section):
    """One program that is run for what happens, with the notice as JSON on its standard input: to suspend and resume tenants."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="Unique name, shown in lists")
    program: list[str] = Field(
        min_length=1, max_length=50, description="The program, by its whole path, and its arguments; no shell is used"
    )
    types: list[NoticeType] = Field(
        default=[NoticeType.TENANT_SUSPENDED, NoticeType.TENANT_RESUMED], description="What it is run for"
    )

    @field_validator("program")
    @classmethod
    def _whole_path(cls, value: list[str]) -> list[str]:
        if not value[0].startswith("/") or any("\0" in one for one in value):
            raise ValueError("name the program by its whole path, like /usr/local/bin/suspend")
        return value
