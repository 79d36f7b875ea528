"""Every panel of the dashboard, and every alert, asks a real Prometheus something that the application answers."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from billing.telemetry import metrics
from tests.parts import answers, free_port, http_server, program, wait_for
from tests.signals.filled import counted, filled
from tests.signals.queries import Names, names_in
from tests.signals.test_alerts import NAMES, RULES
from tests.web.scene import Scene

DASHBOARD: dict[str, Any] = json.loads((RULES.parents[1] / "grafana" / "stablemeter.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SECTIONS = ("At a glance", "Fleet and coverage", "Money", "Chains", "Jobs and notices", "Web and storage")


def targets() -> Iterator[tuple[str, str, str]]:
    """(panel, query, legend), with the range that Grafana fills in."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m"), target["legendFormat"]


@contextmanager
def scraping(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that reads a page every second and evaluates our rules; yields its URL."""
    port, config = free_port(), folder / "prometheus.yml"
    text = (
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{RULES}']\n"
        "scrape_configs:\n- job_name: stablemeter\n  static_configs:\n"
        f"  - targets: ['{target.removeprefix('http://')}']\n"
    )
    config.write_text(text)
    process = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{url}/-/ready"), "Prometheus")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def asked(url: str, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=10)
    assert answer.status_code == HTTPStatus.OK, f"{query}: {answer.text}"
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    return found


def test_prometheus_answers_every_panel_and_evaluates_every_alert(scene: Scene, tmp_path: Path) -> None:
    filled(scene)
    counted()

    content = metrics.render(scene.app.gauger.read())

    def page(path: str, _body: bytes) -> tuple[int, bytes]:
        return (200, content) if path == "/metrics" else (404, b"")

    with http_server(page) as target, scraping(tmp_path, target) as url:
        wait_for(lambda: bool(asked(url, "count_over_time(stablemeter_info[1m]) > 2")), "three scrapes")
        for title, query, legend in targets():
            found = asked(url, query)
            assert found, f"{title}: nobody answers {query}"
            for label in re.findall(r"{{(\w+)}}", legend):
                assert all(label in series["metric"] for series in found), f"{title}: no label {label} in {query}"

        def evaluated() -> list[dict[str, Any]]:
            groups = httpx.get(f"{url}/api/v1/rules", timeout=10).json()["data"]["groups"]
            return [rule for group in groups for rule in group["rules"]]

        wait_for(lambda: all(rule["health"] != "unknown" for rule in evaluated()), "the rules")
        assert sorted(rule["name"] for rule in evaluated()) == sorted(NAMES)
        assert [rule["lastError"] for rule in evaluated() if rule["health"] != "ok"] == []


def test_panels_name_metrics_and_labels_that_exist() -> None:
    known = Names.of_the_program()
    for title, query, _ in targets():
        for metric, labels in names_in(query).items():
            assert metric in known.labels, f"{title}: there is no metric {metric}"
            assert labels <= known.labels[metric], f"{title}: {metric} has no label {labels - known.labels[metric]}"


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    """What its importer needs: a schema, ids of their own, a data source that is chosen, places that do not overlap."""
    assert DASHBOARD["uid"] == "stablemeter" and DASHBOARD["schemaVersion"] >= 36 and "id" not in DASHBOARD
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    everything = DASHBOARD["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not mine & taken, panel["title"]
        taken |= mine
    assert tuple(panel["title"] for panel in everything if panel["type"] == "row") == SECTIONS
    for panel in PANELS:
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_every_metric_is_on_the_dashboard_or_in_an_alert_or_has_a_reason() -> None:
    """What nobody looks at need not be counted."""
    seen = {name for _, query, _ in targets() for name in names_in(query)} | set(names_in(RULES.read_text()))
    details = {
        "stablemeter_blocks_read_total", "stablemeter_logs_read_total", "stablemeter_zero_value_transfers_total",
        "stablemeter_balances_total", "stablemeter_chain_block", "stablemeter_source_read_age_seconds",
    }  # fmt: skip
    named = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in seen}
    every = {
        name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        for name in Names.of_the_program().labels
    }
    assert every - named == details, "details for a closer look"
