"""Settings of notices: who is told what happens."""

import base64
import binascii
from typing import Final

from pydantic import Field, SecretStr, field_validator

from billing.notices.notice import NoticeType
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
