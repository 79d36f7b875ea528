"""Alert rules ring when they should, are silent when they should, and speak of metrics that exist."""

import json
import subprocess
from pathlib import Path

from billing.cli.app import app
from tests.parts import program
from tests.signals.queries import Names, commands_in, names_in
from tests.signals.rings import RINGS, Series

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus" / "stablemeter.rules.yml"


def rules() -> list[dict[str, str]]:
    """The name of each rule, and its text."""
    blocks = RULES.read_text().split("- alert: ")[1:]
    return [dict(zip(("alert", "text"), block.split("\n", 1), strict=True)) for block in blocks]


NAMES = [rule["alert"] for rule in rules()]


def test_promtool_finds_no_fault() -> None:
    for what, file in (("rules", RULES), ("config", RULES.with_name("scrape.example.yml"))):
        done = subprocess.run(
            [program("promtool"), "check", what, str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_and_every_test_an_alert() -> None:
    assert sorted(RINGS) == sorted(NAMES) and len(set(NAMES)) == len(NAMES)


def case(alert: str, series: Series, minutes: int, rings: bool) -> dict[str, object]:
    firing = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) > 0'
    return {
        "name": f"{alert} {'rings' if rings else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f"({firing}) * 0 + 1",
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if rings else [],
            }
        ],
    }


def test_each_alert_rings_and_is_silent_as_it_should(tmp_path: Path) -> None:
    """Each rule alone in a file of its own: 43 rules at each of a thousand minutes would take minutes."""
    files = []
    for rule in rules():
        alert, ring = rule["alert"], RINGS[rule["alert"]]
        alone = tmp_path / f"{alert}.rules.yml"
        body = rule["text"].split("\n  - name:")[0]
        alone.write_text(f"groups:\n  - name: one\n    rules:\n      - alert: {alert}\n{body}\n")
        tests = [case(alert, ring.loud, ring.minutes, True), case(alert, ring.quiet, ring.minutes, False)]
        files.append(tmp_path / f"{alert}.test.yml")  # JSON is YAML
        files[-1].write_text(json.dumps({"rule_files": [str(alone)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([program("promtool"), "test", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.count("SUCCESS") == len(files), done.stdout + done.stderr


def test_a_person_is_told_what_it_is_and_what_to_do(tmp_path: Path) -> None:
    """One alert word for word, as it arrives."""
    expected = {
        "exp_labels": {"severity": "critical", "chain": "base"},
        "exp_annotations": {
            "summary": "The newest block read of base is 16m 40s old.",
            "do": "Payments are not seen. Either the endpoints are behind, or the chain stands still: stablemeter chain"
            " status, then a block explorer.",
        },
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": 'stablemeter_chain_block_age_seconds{chain="base"}', "values": "1000x60"}],
        "alert_rule_test": [{"eval_time": "30m", "alertname": "StablemeterWatcherStalled", "exp_alerts": [expected]}],
    }
    file = tmp_path / "one.test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_is_whole_and_tells_commands_that_exist() -> None:
    for rule in rules():
        text = rule["text"]
        assert "severity: critical" in text or "severity: warning" in text, rule["alert"]
        assert 'summary: "' in text and ' do: "' in text and rule["alert"].startswith("Stablemeter"), rule["alert"]
    for command in commands_in(RULES.read_text(), app):
        assert command.is_known, f"there is no command {command.typed}"


def test_every_metric_and_label_that_a_rule_names_exists() -> None:
    known = Names.of_the_program()
    for rule in rules():
        for metric, labels in names_in(rule["text"]).items():
            assert metric in known.labels, f"{rule['alert']}: there is no metric {metric}"
            assert labels <= known.labels[metric], (
                f"{rule['alert']}: {metric} has no label {labels - known.labels[metric]}"
            )
