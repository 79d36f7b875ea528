"""All tables, one file per concern. Only stores import them.

Importing this package fills `metadata`. Every constraint has a name, so that `db check` and an error can name it.
"""

from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = SQLModel.metadata

from billing.db.tables import (  # noqa: E402
    access,
    chain,
    closing,
    compliance,
    events,
    fleet,
    invoicing,
    leasing,
    ledger,
    metering,
    notices,
    owners,
    prepaid,
    pricing,
    quotes,
    reconciliation,
    roles,
    tenants,
    trail,
    treasury,
    wallets,
)

__all__ = [
    "access",
    "chain",
    "closing",
    "compliance",
    "events",
    "fleet",
    "invoicing",
    "leasing",
    "ledger",
    "metadata",
    "metering",
    "notices",
    "owners",
    "prepaid",
    "pricing",
    "quotes",
    "reconciliation",
    "roles",
    "tenants",
    "trail",
    "treasury",
    "wallets",
]
