"""What this process's counters say, or those of all processes of one daemon: for pages that people read."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from billing.telemetry import metrics


def tallied(*names: str) -> dict[str, list[tuple[Mapping[str, str], int]]]:
    """{name of a sample: [(its labels, its value)]}, of the samples with these names; fractions are cut off."""
    found: dict[str, list[tuple[Mapping[str, str], int]]] = {name: [] for name in names}
    for family in text_string_to_metric_families(metrics.render({}).decode()):
        for sample in family.samples:
            if sample.name in found:
                found[sample.name].append((sample.labels, int(sample.value)))
    return found
