"""Slurm, Kubernetes and files, from what they say to usage and conservation, in a real database."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.core.clock import ManualClock, SystemClock
from billing.core.period import HOUR, Span, at_second, epoch_seconds, rfc3339
from billing.db.engine import Database
from billing.metering.collector import Collector, Feed
from billing.metering.reading import Cadence, Source
from billing.metering.reporter import MeterReporter
from billing.metering.sources.access import Access
from billing.metering.sources.csvfile import CsvSettings, CsvSource
from billing.metering.sources.kubernetes import KubernetesSettings, KubernetesSource
from billing.metering.sources.promapi import PrometheusApi
from billing.metering.sources.slurm import SlurmSettings, SlurmSource, inventory
from tests.cli.command import stablemeter
from tests.factories import NO_EXCLUSIONS, OCTOBER, add_tenants, at, no_fence, second
from tests.metering.test_collector import conserved, rows
from tests.metering.test_kubernetes import PRODUCT, Page, minutes
from tests.parts import prometheus

GOLDEN = Path(__file__).parents[1] / "golden" / "slurm" / "cluster.sacct"


def collecting(database: Database, clock: ManualClock, source: Source) -> Collector:
    return Collector(database, clock, [Feed(source, "test", NO_EXCLUSIONS, OCTOBER)], no_fence)


def billed(database: Database) -> dict[str, int]:
    """Device-seconds of current usage by tenant."""
    found = rows(
        database,
        "SELECT t.slug, sum(extract(epoch FROM upper(during) - lower(during)))::bigint"
        " FROM usage u JOIN tenant t ON t.id = u.tenant_id WHERE superseded_at IS NULL GROUP BY t.slug",
    )
    return {slug: int(seconds) for slug, seconds in found}


def reasons(database: Database) -> Sequence[dict[str, Any]]:
    status = MeterReporter(database).status(at(12))
    return list(status["gaps"])


def fake_sacct(tmp_path: Path, output: Path) -> str:
    path = tmp_path / "sacct"
    path.write_text(f"#!{sys.executable}\nimport sys\nsys.stdout.write(open({str(output)!r}).read())\n")
    path.chmod(0o755)
    return str(path)


def test_a_slurm_cluster_is_billed_by_account_and_every_second_is_somewhere(database: Database, tmp_path: Path) -> None:
    clock = ManualClock(at(4.1))
    add_tenants(database, clock, "acme", "beta")
    output = tmp_path / "jobs"
    output.write_text(GOLDEN.read_text())
    fleet = inventory({"gpu[001-003]": "h100:8", "gpu004": "h100_1g.10gb:7"})
    source = SlurmSource(SlurmSettings("coast", (fake_sacct(tmp_path, output),), inventory=fleet))
    collector = collecting(database, clock, source)
    outcome = collector.tick()
    assert (outcome.windows, outcome.failures) == (4, 0)
    acme = 8 * 3600 + 2 * 930 + 2 * 1800
    beta = 16 * 7200 + 4 * 300 + 4 * (15 * 60 + 2 * 3600)
    assert billed(database) == {"acme": acme, "beta": beta}
    found = conserved(database, 4)
    gamma_mig = 3 * 3600 // 8  # an instance of one of eight slices
    assert found["billed"] == acme + beta and found["unattributed"] == 8 * 7200 + gamma_mig
    assert sum(found.values()) == 25 * 4 * 3600, "24 GPUs, and one that is cut into instances"
    assert {row["label"] for row in MeterReporter(database).status(at(4.1))["unknown_labels"]} == {"gamma"}
    before = rows(database, "SELECT * FROM usage ORDER BY id")
    assert collector.collect(Span(at(0), at(4))).unchanged == 4
    assert rows(database, "SELECT * FROM usage ORDER BY id") == before


def test_a_job_whose_end_comes_late_is_mended_and_a_failing_command_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    clock = ManualClock(at(2.1))
    add_tenants(database, clock, "acme")
    output = tmp_path / "jobs"
    header = "JobIDRaw|Account|State|Start|End|AllocTRES|NodeList\n"
    start, end = second(0.5), second(1.25)
    output.write_text(f"{header}1|acme|RUNNING|{start}|Unknown|gres/gpu=4|n1\n")
    source = SlurmSource(
        SlurmSettings("s", (fake_sacct(tmp_path, output),), inventory=inventory({"n1": 8}), model="h100")
    )
    collector = collecting(database, clock, source)
    collector.tick()
    assert billed(database) == {"acme": 4 * 5400}
    output.unlink()
    clock.advance(timedelta(hours=1))
    assert collector.tick().failures == 1
    assert billed(database) == {"acme": 4 * 5400}
    (row,) = MeterReporter(database).status(clock.now())["sources"]
    assert "ended with code 1" in row["failure"] and row["failed_at"] == clock.now()
    output.write_text(f"{header}1|acme|COMPLETED|{start}|{end}|gres/gpu=4|n1\n")
    collector.tick()
    assert billed(database) == {"acme": 4 * (end - start)}
    assert conserved(database, 3) == {"billed": 4 * (end - start), "idle": 8 * 3 * 3600 - 4 * (end - start)}


def test_more_jobs_than_gpus_are_shown_and_never_billed_twice(database: Database, tmp_path: Path) -> None:
    clock = ManualClock(at(1.1))
    add_tenants(database, clock, "acme", "beta")
    output = tmp_path / "jobs"
    header = "JobIDRaw|Account|State|Start|End|AllocTRES|NodeList\n"
    first = f"1|acme|RUNNING|{second(0)}|Unknown|gres/gpu:h100=6|n1\n"
    output.write_text(header + first)
    source = SlurmSource(SlurmSettings("s", (fake_sacct(tmp_path, output),), inventory=inventory({"n1": "h100:8"})))
    collector = collecting(database, clock, source)
    collector.tick()
    assert reasons(database) == []
    output.write_text(header + first + f"2|beta|RUNNING|{second(0.5)}|Unknown|gres/gpu:h100=4|n1\n")
    clock.advance(timedelta(hours=1))
    collector.tick()
    assert billed(database)["acme"] == 6 * 7200 and billed(database)["beta"] == 2 * 5400
    assert conserved(database, 2) == {"billed": 6 * 7200 + 2 * 5400, "idle": 2 * 1800}
    assert {row["status"] for row in reasons(database)} == {"complete"}
    assert all("job 2/h100 holds 2 GPUs more than n1 has, not billed" in row["reason"] for row in reasons(database))
    assert len(reasons(database)) == 2, "the hour that was read before shows it too"
    output.write_text(header + f"1|acme|RUNNING|{second(0)}|Unknown|gres/gpu:h100=6|n1\n")
    clock.advance(timedelta(hours=6))
    collector.tick()
    assert conserved(database, 2) == {"billed": 6 * 7200, "idle": 2 * 7200} and reasons(database) == []


def test_pods_of_a_kubernetes_cluster_are_billed_by_namespace(database: Database, scratch: Path) -> None:
    clock = ManualClock(at(4.2))
    add_tenants(database, clock, "acme", "beta")
    page = Page(4)
    page.node("n1", {"nvidia_com_gpu": 8}, PRODUCT)
    page.node("gone", {"nvidia_com_gpu": 2}, PRODUCT, minutes(0, 60))
    page.pod("train", "n1", {"main": 4}, minutes(5, 200), minutes(10, 90))
    page.pod("next", "n1", {"main": 8}, minutes(85, 240), minutes(90, 181), namespace="beta")
    with prometheus(scratch / "kube-journey", page.text()) as url:
        client = PrometheusApi("k", Access(url, timeout_seconds=5))
        source = KubernetesSource(KubernetesSettings("k", sampling=Cadence(60_000, 150_000)), client)
        collector = collecting(database, clock, source)
        outcome = collector.tick()
        assert (outcome.windows, outcome.failures) == (4, 0)
        # from the scrape before the first one that saw it running, to the last one that did; nobody looked from 119 to 134
        assert billed(database) == {"acme": 4 * 80 * 60, "beta": 8 * (30 + 46) * 60}
        found = conserved(database, 4)
        outage = 15 * 60
        assert found["excluded"] == 8 * outage, "the same holder before and after: claimed, not billed"
        assert found["missing"] + found["blind"] == 2 * (240 - 59) * 60 and found["blind"] == 2 * outage
        assert sum(found.values()) == 10 * 4 * 3600
        assert collector.collect(Span(at(0), at(4))).unchanged == 4
        source.close()


def test_a_usage_file_is_billed_disputed_and_waited_for(database: Database, tmp_path: Path) -> None:
    clock = ManualClock(at(2.1))
    add_tenants(database, clock, "acme", "beta")
    path = tmp_path / "usage.csv"
    line = "{},{},2026-10-01T{}Z,2026-10-01T{}Z,H100\r\n"
    first = "device,label,start,end,model\r\n" + line.format("G1", "acme", "00:00:00", "00:45:30")
    path.write_text(
        first + line.format("G1", "beta", "00:30:00", "01:00:00") + line.format("G2", "", "00:00:00", "01:00:00")
    )
    collector = collecting(database, clock, CsvSource(CsvSettings("book", (str(path),))))
    outcome = collector.tick()
    assert (outcome.windows, outcome.failures) == (1, 1), "the second hour waits for the file"
    assert billed(database) == {"acme": 1800, "beta": 870}
    assert conserved(database, 1) == {"billed": 2670, "disputed": 930, "idle": 3600}
    path.write_text(path.read_text() + line.format("G2", "acme", "01:00:00", "02:00:00") + "G2,acme,oops\r\n")
    assert collector.tick().failures == 1
    (row,) = MeterReporter(database).status(clock.now())["sources"]
    assert "usage.csv: line 6: 3 fields under 5 headings" in row["failure"]
    assert billed(database) == {"acme": 1800, "beta": 870}, "nothing of a file with a mistake counts"
    path.write_text(path.read_text().replace("G2,acme,oops\n", ""))
    assert collector.tick().failures == 0
    assert billed(database) == {"acme": 1800 + 3600, "beta": 870}
    assert sum(conserved(database, 2).values()) == 2 * 7200


def test_the_commands_know_all_of_it(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor, meter collect and status, lease import, as they are typed."""
    monkeypatch.chdir(tmp_path)
    for name in ("STABLEMETER_CONFIG", "STABLEMETER_DATABASE__URL"):
        monkeypatch.delenv(name, raising=False)
    start = epoch_seconds(SystemClock().now()) // HOUR * HOUR - 6 * HOUR
    first, last = rfc3339(at_second(start)), rfc3339(at_second(start + 2 * HOUR))
    output = tmp_path / "jobs"
    output.write_text(
        f"JobIDRaw|Account|State|Start|End|AllocTRES|NodeList\n1|x|RUNNING|{start}|Unknown|gres/gpu=9|n1\n"
    )
    (tmp_path / "stablemeter.toml").write_text(
        f"data_dir = '{tmp_path}'\n[database]\nurl = '{database_url}'\n"
        f"[[metering.sources]]\nname = 'coast'\ntype = 'slurm'\ncommand = ['{fake_sacct(tmp_path, output)}']\n"
        f"gpus_per_node = {{ n1 = 'h100:8' }}\nsince = '{first}'\n"
        f"[[metering.sources]]\nname = 'book'\ntype = 'csv'\nfiles = ['{tmp_path}/*.csv']\n"
        "[[metering.sources]]\nname = 'kube'\ntype = 'kubernetes'\nurl = 'http://127.0.0.1:9'\n"
    )
    (tmp_path / "u.csv").write_text(f"host,index,label,start,end\nh1,0,x,{first},{last}\n")
    told = {line.split(": ")[0][7:]: line for line in stablemeter("doctor").out.splitlines()}
    assert told["source coast"] == "ok     source coast: sacct answers, 1 runs of jobs with GPUs in the last hour"
    assert told["source book"] == f"ok     source book: 1 files, 1 lines, until {last}"
    assert told["source kube"].startswith("WRONG  source kube: source kube at http://127.0.0.1:9 does not answer")
    span = ("--from", first, "--to", last, "--source", "coast", "--source", "book")
    assert stablemeter("meter", "collect", *span).ok().out.startswith("4 windows read")
    shown = stablemeter("meter", "status").ok().out
    assert "slurm" in shown and "csv" in shown and "holds 1 GPUs more than n1 has" in shown
    stablemeter("tenant", "add", "acme", "--attribution", "lease", "--legal-name", "Acme", "--country", "DE").ok()
    leases = tmp_path / "leases.txt"
    leases.write_text(f"tenant,gpu,from\nacme,coast/n1/h100/7,{first}\nnobody,coast/n1/h100/6,{first}\n")
    stablemeter("lease", "import", leases).refused("leases.txt: line 3: ", "nothing was let", code=2)
    stablemeter("lease", "import", tmp_path / "none").refused("cannot be read", code=2)
    leases.write_text(f"tenant,gpu,from\nacme,coast/n1/h100/7,{first}\n")
    assert "the file is fine" in stablemeter("lease", "import", leases, "--dry-run").ok().out
    assert stablemeter("lease", "list").ok().out == "no leases\n"
    assert stablemeter("lease", "import", leases).ok().out == "1 leases, 1 GPUs\n"
    assert "coast/n1/h100/7" in stablemeter("lease", "list").ok().out
    leases.write_text("x" * 10_000_000)
    stablemeter("lease", "import", leases).refused("may be cut off", code=2)


def test_a_record_that_was_mended_takes_time_back(database: Database, tmp_path: Path) -> None:
    """Slurm shows a job as running long after its node died. Its record is mended; what it was billed too much goes."""
    clock = ManualClock(at(6.1))
    add_tenants(database, clock, "acme", "beta")
    file = tmp_path / "a.sacct"
    head = "# covers 2026-10-01T00:00:00Z 2026-10-02T00:00:00Z\nJobIDRaw|Account|State|Start|End|AllocTRES|NodeList\n"
    other = "2|beta|COMPLETED|2026-10-01T01:00:00|2026-10-01T05:00:00|gres/gpu=1|n1\n"

    def read() -> dict[str, int]:
        source = SlurmSource(SlurmSettings("slurm", files=(str(file),)))
        Collector(database, clock, [Feed(source, "slurm", NO_EXCLUSIONS, at(0))], no_fence).collect(Span(at(0), at(6)))
        found = rows(
            database,
            "SELECT t.slug, sum(extract(epoch FROM upper(during) - lower(during)))::int FROM usage u"
            " JOIN tenant t ON t.id = u.tenant_id WHERE superseded_at IS NULL GROUP BY 1",
        )
        return {row[0]: row[1] for row in found}

    file.write_text(head + "1|acme|RUNNING|2026-10-01T00:30:00|Unknown|gres/gpu=1|n1\n" + other)
    assert read()["acme"] > 5 * 3600
    file.write_text(head + "1|acme|NODE_FAIL|2026-10-01T00:30:00|2026-10-01T00:50:00|gres/gpu=1|n1\n" + other)
    assert read() == {"acme": 20 * 60, "beta": 4 * 3600}
