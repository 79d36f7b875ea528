"""API keys: 32 random bytes for the caller, a digest for us."""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "smk"
KEYS_MAX: Final = 50
"""That one tenant may have in force."""


class KeyRole(StrEnum):
    """What the bearer may do: run the fleet, run the money, see one tenant, see everything and change nothing, push events
    and nothing else, or see one owner's devices and earnings."""

    OPERATOR = "operator"
    FINANCE = "finance"
    TENANT = "tenant"
    AUDITOR = "auditor"
    GATEWAY = "gateway"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who is calling. `tenant` is set for the role tenant only, `owner` for the role owner."""

    name: str
    role: KeyRole
    tenant: str = ""
    tenant_id: int | None = None
    owner: str = ""
    owner_id: int | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """`plain` is shown once and never stored."""

    plain: str
    prefix: str
    digest: str


def new_key() -> NewKey:
    prefix = secrets.token_hex(4)
    plain = f"{PREFIX}_{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(plain, prefix, digest_of(plain))


def digest_of(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
