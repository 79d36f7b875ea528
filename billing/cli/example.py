"""The example settings file and the settings page of the docs, both made from the settings themselves: nothing is left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from billing.settings import (
    BandSettings,
    ChainSettings,
    ComplianceSettings,
    ControlSettings,
    DatabaseSettings,
    DunningSettings,
    FeedSettings,
    IssuerSettings,
    ListSettings,
    LogSettings,
    MailSettings,
    MeterSettings,
    OracleSettings,
    ProgramSettings,
    Settings,
    SourceSettings,
    TaxRateSettings,
    TokenSettings,
    WalletSettings,
    WebhookSettings,
    WebSettings,
)

HEAD: Final = """\
# Settings of Stablemeter. A line that begins with `#` is a default or an example: remove the mark to change it.
# Every key is also an environment variable: database.url is STABLEMETER_DATABASE__URL.
# There is never a private key in here; one is refused wherever it is written.

# Where state is kept (embedded database, default archive).
# data_dir = "/var/lib/stablemeter"
"""

SECTIONS: Final[tuple[tuple[str, type[BaseModel], str], ...]] = (
    ("issuer", IssuerSettings, "Who the invoices are from."),
    ("database", DatabaseSettings, "PostgreSQL 14 or newer."),
    ("wallet", WalletSettings, "Where invoices are paid to."),
    ("dunning", DunningSettings, "What becomes of who does not pay."),
    ("compliance", ComplianceSettings, "Who may pay, and who may hold what."),
    ("mail", MailSettings, "Mail to tenants."),
    ("web", WebSettings, "Pages and the HTTP API."),
    ("logs", LogSettings, "Logs, on standard error."),
)
LISTS: Final[tuple[tuple[str, type[BaseModel], str], ...]] = (
    (
        "issuer.tax_rates",
        TaxRateSettings,
        "What invoices' currencies are worth in the tax currency; one block a currency.",
    ),
    ("metering.sources", SourceSettings, "Where GPU samples come from; one block a source."),
    ("metering.meters", MeterSettings, "What pushed events are counted as; one block a meter."),
    (
        "webhooks",
        WebhookSettings,
        "Who is told what happens; one block a receiver. docs/webhooks.md says how it verifies.",
    ),
    (
        "programs",
        ProgramSettings,
        "What is run for what happens; one block a program. The notice is its standard input.",
    ),
    ("compliance.lists", ListSettings, "Sanctioned addresses; one block a file. A sender that is on one is held."),
    ("compliance.oracles", OracleSettings, "Contracts that know who is sanctioned; one block a chain."),
    ("compliance.controls", ControlSettings, "GPUs that not everybody may use; one block a rule."),
    ("chains", ChainSettings, "Chains that invoices are paid on; one block a chain."),
    ("chains.bands", BandSettings, "Small payments on the chain above that count sooner; one block a band."),
    ("chains.tokens", TokenSettings, "Tokens of the chain above; one block a token."),
    ("chains.tokens.rates", FeedSettings, "Other currencies that the token above may pay; one block a currency."),
)
EXAMPLES: Final[dict[str, Any]] = {
    "issuer.name": "Example GPU Pty Ltd",
    "issuer.address": "1 Example Street, Brisbane",
    "issuer.tax_id": "ABN 00 000 000 000",
    "issuer.tax_currency": "AUD",
    "issuer.tax_rates.currency": "USD",
    "issuer.tax_rates.rate": "1.5312",
    "issuer.tax_rates.source": "Reserve Bank of Australia",
    "issuer.tax_rates.date": "2026-10-31",
    "database.url": "postgresql://stablemeter@db.example/stablemeter",
    "dunning.suspend_after_days": 14,
    "wallet.treasury": "0x0000000000000000000000000000000000000001",
    "wallet.xpub": "xpub...",
    "wallet.archive": ["/srv/archive", "/mnt/other-disk/archive"],
    "mail.host": "smtp.example",
    "mail.sender": "Example GPU <billing@example.com>",
    "webhooks.name": "books",
    "webhooks.url": "https://books.example/hooks/stablemeter",
    "webhooks.secrets": ["whsec_bm90IGEgc2VjcmV0LCBidXQgYW4gZXhhbXBsZSBvZiBvbmU="],
    "webhooks.types": ["invoice.paid", "invoice.reopened"],
    "programs.name": "switch",
    "programs.program": ["/usr/local/bin/switch-tenant"],
    "web.public_url": "https://pay.example",
    "metering.sources.name": "brisbane",
    "metering.sources.type": "prometheus",
    "metering.sources.url": "http://127.0.0.1:9090",
    "metering.sources.targets": ["http://node-1:9400/metrics", "http://node-2:9400/metrics"],
    "metering.sources.command": ["sacct"],
    "metering.sources.files": ["/srv/usage/*.csv"],
    "metering.sources.gpus_per_node": {"gpu[001-016]": "h100:8"},
    "metering.sources.model": "h100",
    "metering.sources.matchers": 'job="dcgm"',
    "metering.sources.max_gap_seconds": 150,
    "metering.sources.since": "2026-10-01T00:00:00Z",
    "metering.sources.exporter_file": "/etc/stablemeter/exporters.toml",
    "metering.sources.metric": "DCGM_FI_DEV_GPU_TEMP",
    "metering.sources.metric_fallbacks": ["DCGM_FI_DEV_POWER_USAGE"],
    "metering.sources.headers": {"X-Site": "brisbane"},
    "metering.sources.org_id": "fleet",
    "metering.sources.ca_file": "/etc/ssl/site-ca.pem",
    "metering.meters.name": "tokens_served",
    "metering.meters.event_type": "inference.completed",
    "metering.meters.value": "$.usage.total_tokens",
    "metering.meters.aggregation": "sum",
    "metering.meters.unit": "token",
    "compliance.lists.name": "ofac",
    "compliance.lists.path": "/etc/stablemeter/ofac.txt",
    "compliance.lists.dated": "2026-10-01",
    "compliance.denied_countries": ["KP"],
    "compliance.controls.name": "hopper",
    "compliance.controls.models": ["NVIDIA H100 80GB HBM3"],
    "compliance.controls.attestation": "end-use",
    "compliance.controls.denied_countries": ["KP"],
    "compliance.oracles.chain": "base",
    "compliance.oracles.address": "0x0000000000000000000000000000000000000004",
    "chains.bands.up_to": "1000.00",
    "chains.bands.confirmations": 2,
    "chains.bands.finality": "safe",
    "chains.preset": "base",
    "chains.tokens.onchain_symbols": ["USDC"],
    "chains.chain_id": 8453,
    "chains.name": "base",
    "chains.rpc_urls": ["https://rpc-1.example", "https://rpc-2.example"],
    "chains.confirmations": 12,
    "chains.finality": "safe",
    "chains.final_confirmations": 100,
    "chains.start_block": 38_000_000,
    "chains.tokens.symbol": "USDC",
    "chains.tokens.address": "0x0000000000000000000000000000000000000002",
    "chains.tokens.decimals": 6,
    "chains.tokens.rates.currency": "EUR",
    "chains.tokens.rates.feed": "0x0000000000000000000000000000000000000003",
    "chains.tokens.rates.feed_decimals": 8,
    "chains.tokens.rates.feed_staleness_seconds": 90_000,
}

BLOCKS: Final[dict[str, str]] = {
    "chains.tokens.rates": """
# A network that is known (stablemeter chain presets), with nothing more to say than where to ask.
# [[chains]]
# preset = "arbitrum"
# rpc_urls = ["https://rpc-1.example", "https://rpc-2.example"]
""",
    "metering.sources": """
# Other sources, as they are most often written.
# [[metering.sources]]
# name = "pages"
# type = "dcgm"
# targets = ["http://node-1:9400/metrics", "http://node-2:9400/metrics"]
# scrape_interval_seconds = 15
# [[metering.sources]]
# name = "cluster"
# type = "slurm"
# command = ["ssh", "login-1", "env", "TZ=UTC", "SLURM_TIME_FORMAT=%s", "sacct"]
# gpus_per_node = { "gpu[001-016]" = "h100:8", "old[1-4]" = "a100:4" }
# [[metering.sources]]
# name = "kubernetes"
# type = "kubernetes"
# url = "http://127.0.0.1:9090"
# matchers = 'job="kube-state-metrics"'
# model = "NVIDIA-H100-80GB-HBM3"
# [[metering.sources]]
# name = "handwritten"
# type = "csv"
# files = ["/srv/usage/*.csv"]
# model = "NVIDIA H100 80GB HBM3"
""",
}
"""Whole blocks, after the keys of a list."""


def toml() -> str:
    """The example file: every key, with what it means and its default or an example."""
    lines = [HEAD]
    for name, model, title in SECTIONS:
        lines += [f"\n# {title}", f"[{name}]", *_keys(name, model)]
    for name, model, title in LISTS:
        lines += [f"\n# {title}", f"# [[{name}]]", *_keys(name, model)]
        if name in BLOCKS:
            lines.append(BLOCKS[name].rstrip("\n"))
    return "\n".join(lines) + "\n"


def _keys(section: str, model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if f"{section}.{name}" in {one for one, _, _ in LISTS}:
            continue
        value = EXAMPLES.get(f"{section}.{name}", _default(field))
        yield f"# {field.description}" + (" (required)" if field.is_required() else "") + _choices(field)
        yield f"# {name} = {_toml(value)}"


def markdown() -> str:
    """The page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "One TOML file: `--config`, `STABLEMETER_CONFIG`, or `./stablemeter.toml`. Every key is also an environment",
        "variable: `database.url` is `STABLEMETER_DATABASE__URL`; lists are given there as JSON. Unknown keys refuse to",
        "start. This page and `config/stablemeter.example.toml` are made from the code by `make docs`.",
        "",
        "| key | meaning | default |",
        "|---|---|---|",
        f"| `data_dir` | {Settings.model_fields['data_dir'].description} | `~/.local/share/stablemeter` |",
    ]
    for section, model, _ in (*SECTIONS, *LISTS):
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else f"`{_toml(_default(field))}`"
            shown = f"{section}[].{name}" if (section, model, _) in LISTS else f"{section}.{name}"
            lines.append(f"| `{shown}` | {field.description}{_choices(field)} | {default} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> Any:
    value = field.get_default(call_default_factory=True) if not field.is_required() else ""
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _choices(field: FieldInfo) -> str:
    options = [str(one) for one in get_args(field.annotation) if isinstance(one, str)]
    return f": {', '.join(options)}" if options and not any(one in str(field.description) for one in options) else ""


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + " }" if value else "{}"
    text = str(value if not isinstance(value, Path) else value.as_posix())
    return "'" + text + "'" if '"' in text else '"' + text + '"'
