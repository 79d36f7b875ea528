"""A site at the command line: settings made by `init`, a Prometheus that remembers two days, an EVM node, four tenants."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from billing.core.onchain import Address, parse_address
from billing.core.period import Span, month_of, rfc3339
from tests.cli.command import Done, stablemeter
from tests.factories import H100
from tests.parts import anvil, prometheus
from tests.world import Node

STEP = 600
DAYS = 2
HOURS = DAYS * 24
BOOK = f"""
currency = "USD"
[[sku]]
code = "h100"
title = "NVIDIA H100"
models = ["{H100}"]
[[sku.price]]
from = 2025-01-01
per_hour = "2.00"
"""


def past_month() -> Span:
    """A month that has been over for days, so that no window of it is too young."""
    return month_of(month_of(datetime.now(UTC) - timedelta(days=3)).start - timedelta(days=1))


def openmetrics(start: datetime, end: datetime) -> str:
    """Four GPUs: acme's carries no label, beta's is held on the first day, delta's all the time, one by nobody known."""
    first, last = int(start.timestamp()), int(end.timestamp())
    series: dict[str, list[int]] = {}
    up = ["# TYPE up gauge"]
    for at in range(first, last + 3 * STEP, STEP):
        up.append(f'up{{job="dcgm",instance="n1:9400"}} 1 {at}')
        for name in ("acme", "beta", "delta", "mystery"):
            held = name in ("delta", "mystery") or (name == "beta" and at - first <= 86_400)
            holder = f',namespace="{name}",pod="p"' if held else ""
            key = f'job="dcgm",instance="n1:9400",Hostname="n1",modelName="{H100}",UUID="GPU-{name}"{holder}'
            series.setdefault(key, []).append(at)
    lines = ["# TYPE DCGM_FI_DEV_GPU_TEMP gauge"]
    for labels, times in series.items():
        lines += [f"DCGM_FI_DEV_GPU_TEMP{{{labels}}} 30 {at}" for at in times]
    return "\n".join([*lines, *up, "# EOF", ""])


@dataclass
class Site:
    """The settings file and the parts behind it. `period` is the month that is billed, from `start` on."""

    config: Path
    database_url: str
    node: Node
    node_url: str
    prometheus_url: str
    usdc: Address
    other: Address
    treasury: Address
    month: Span
    told: dict[str, Done] = field(default_factory=dict)

    @property
    def period(self) -> str:
        return f"{self.month.start:%Y-%m}"

    @property
    def start(self) -> datetime:
        return self.month.end - timedelta(days=DAYS)

    @property
    def archive(self) -> Path:
        return self.config.parent / "archive"

    def __call__(self, *arguments: str | Path) -> Done:
        return stablemeter("--config", self.config, *arguments)

    def variant(self, folder: Path, changes: Mapping[str, str], *, more: str = "") -> "Site":
        """The same site with other settings: each text is replaced where it stands."""
        content = self.config.read_text()
        for old, new in changes.items():
            assert old in content, f"{old!r} is not in the settings"
            content = content.replace(old, new)
        path = folder / "variant.toml"
        path.write_text(content + more)
        return self._at(path, self.database_url)

    def _at(self, config: Path, database_url: str) -> "Site":
        return Site(
            config, database_url, self.node, self.node_url, self.prometheus_url, self.usdc, self.other, self.treasury,
            self.month,
        )  # fmt: skip

    @contextmanager
    def branch(self, folder: Path, name: str) -> Iterator["Site"]:
        """A copy of the database and the archive, to be changed; the chain and the sources stay the same ones."""
        url = make_url(self.database_url)
        server = url.set(database="postgres").render_as_string(hide_password=False)
        copied = url.set(database=name).render_as_string(hide_password=False)
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {url.database} STRATEGY FILE_COPY")
        shutil.copytree(self.archive, folder / "archive")
        content = self.config.read_text().replace(self.database_url, copied)
        path = folder / "branch.toml"
        path.write_text(content.replace(str(self.archive), str(folder / "archive")))
        try:
            yield self._at(path, copied)
        finally:
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def state(self) -> dict[str, Any]:
        """Everything that is written down: each table's rows as a digest, and the archive's files."""
        with psycopg.connect(self.database_url) as connection:
            tables = [
                name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            ]
            found: dict[str, Any] = {}
            for name in tables:
                row = connection.execute(
                    f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} t"
                )
                found[name] = row.fetchone()
        files = (path for path in self.archive.rglob("*") if path.is_file())
        return {**found, "archive": sorted((str(path), path.stat().st_size) for path in files)}

    def invoice(self, tenant: str) -> dict[str, Any]:
        """The tenant's invoice as `invoice list` shows it."""
        (row,) = self("invoice", "list", "--tenant", tenant, "--json").json()
        assert isinstance(row, dict)
        return row

    def pay(self, tenant: str, usd: str, *, sender: int = 0) -> None:
        units = int(usd.replace(".", "")) * 10_000
        self.node.transfer(self.usdc, parse_address(self.invoice(tenant)["address"]), units, sender=sender)


def edited(content: str, values: Mapping[str, str]) -> str:
    """The settings file of `init` with keys switched on, as a person does it: the mark removed, the value written.

    Keys are `section.key`; the first block of a list is switched on when one of its keys is.
    """
    wanted, section, lines, blocks = dict(values), "", [], set[str]()
    for line in content.splitlines():
        if head := re.fullmatch(r"(?:# )?\[+([a-z.]+)\]+", line):
            section = head[1]
            used = section not in blocks and any(key.rpartition(".")[0].startswith(section) for key in values)
            blocks.add(section)
            lines.append(line.removeprefix("# ") if used else line)
            continue
        key = re.fullmatch(r"# ([a-z_]+) = .*", line)
        name = f"{section}.{key[1]}".lstrip(".") if key else ""
        lines.append(f"{key[1]} = {wanted.pop(name)}" if key and name in wanted else line)
    assert not wanted, f"the settings file has no {', '.join(wanted)}"
    return "\n".join(lines) + "\n"


@contextmanager
def parts(folder: Path, month: Span) -> Iterator[tuple[str, Node, str]]:
    """A Prometheus that remembers the month's last days, and a node: (its URL, node, the node's URL)."""
    start = month.end - timedelta(days=DAYS)
    with prometheus(folder / "prometheus", openmetrics(start, month.end)) as source, anvil() as url:
        node = Node(url)
        try:
            yield source, node, url
        finally:
            node.close()


def settings_of(site: Site) -> dict[str, str]:
    """What a person writes into the file that `init` made."""
    return {
        "data_dir": f'"{site.config.parent}"',
        "issuer.name": '"Test GPU Pty Ltd"',
        "database.url": f'"{site.database_url}"',
        "wallet.treasury": f'"{site.treasury}"',
        "wallet.treasury_kind": '"eoa"',
        "wallet.archive": f'["{site.archive}"]',
        "metering.sources.name": '"brisbane"',
        "metering.sources.type": '"prometheus"',
        "metering.sources.url": f'"{site.prometheus_url}"',
        "metering.sources.scrape_interval_seconds": str(STEP),
        "metering.sources.since": f'"{rfc3339(site.start)}"',
        "chains.chain_id": "31337",
        "chains.name": '"anvil"',
        "chains.rpc_urls": f'["{site.node_url}"]',
        "chains.confirmations": "3",
        "chains.start_block": "0",
        "chains.tokens.symbol": '"USDC"',
        "chains.tokens.address": f'"{site.usdc}"',
        "chains.tokens.decimals": "6",
    }


def watched(site: Site) -> str:
    """A second token of the chain: noticed, but it pays nothing."""
    return f'\n[[chains.tokens]]\nsymbol = "OUSD"\naddress = "{site.other}"\ndecimals = 18\nlisting = "watch"\n'
