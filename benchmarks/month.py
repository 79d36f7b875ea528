"""A month of 2,400 GPUs, and a day of 20,000, read at once from a real Prometheus. Memory must not grow with the span, and
hardly with the fleet: each is measured after a part of the work, too. Every billed second is compared with the window rule."""

import tempfile
from pathlib import Path
from typing import Final

from benchmarks import postgres
from benchmarks.fleet import PER_HOST, backfill, fleet, serving
from benchmarks.measure import Result, measured, memory, note
from benchmarks.metering import check, metered_by_tenant, ours, plain_client, prepare
from billing.db import embedded

SIZES: Final = ((300, 30), (2500, 1))
"""(hosts, days)."""
SIZES_SMALL: Final = ((10, 2),)
TARGET: Final = 2.0


def run(small: bool = False) -> list[Result]:
    return [_measured(hosts, days) for hosts, days in (SIZES_SMALL if small else SIZES)]


def _measured(hosts: int, days: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="sm-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = fleet(hosts, days)
        backfill(made, folder / "prometheus")
        server = embedded.start(folder / "pg")
        prepare(postgres.database(server, "template_month"), made)
        what = f"{days} days of {hosts * PER_HOST:,} GPUs"
        note(f"month: backfilled {what}")
        with serving(folder / "prometheus") as url:
            part_hours = max(2, days * 24 // 6)
            part = measured(ours, url, postgres.database(server, "part", "template_month"), part_hours)
            plain = measured(plain_client, url, made.span, True)
            whole = measured(ours, url, postgres.database(server, "whole", "template_month"), days * 24)
        result = Result(f"metering: {what}", TARGET, whole, plain)
        result.compare([whole], [plain])
        result.say(f"peak memory after {part_hours} h {memory(part)}, after {days * 24} h {memory(whole)}")
        result.say(f"{whole.answer:,} samples, {whole.answer / whole.wall:,.0f} a second")
        check(result, made, metered_by_tenant(postgres.named(server, "whole")))
    return result
