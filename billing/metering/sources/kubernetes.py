"""Kubernetes: who held how many GPUs of which node, from kube-state-metrics in a Prometheus. Only running pods count."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson

from billing.core.period import Seconds
from billing.metering.holdings import EXACT, holdings_of, reading_of, unplaced_lines
from billing.metering.placement import place
from billing.metering.reading import Cadence, Reading
from billing.metering.sources.kubestate import PRODUCT, RESOURCES, Cluster
from billing.metering.sources.prometheus import PrometheusSource


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """`matchers` narrow the series, like `job="kube-state-metrics"`. `tenant_label` is a label of the requests (`namespace`),
    or of the pod (`label_team`). `model` is what GPUs of nodes without a product label are. `sampling` is that of the scrapes."""

    name: str
    matchers: str = ""
    tenant_label: str = "namespace"
    model: str = ""
    sampling: Cadence = field(default_factory=lambda: Cadence(60_000, 150_000))
    lag_seconds: int = 60


class KubernetesSource:
    def __init__(self, settings: KubernetesSettings, server: PrometheusSource) -> None:
        """`server` speaks to the Prometheus; it is this source's alone."""
        self._settings, self._server = settings, server

    def close(self) -> None:
        self._server.close()

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def cadence(self) -> Cadence:
        return EXACT

    @property
    def lag_seconds(self) -> int:
        """Samples up to a gap after the window's end have a say in it."""
        return self._settings.lag_seconds + -(-self._settings.sampling.max_gap_ms // 1000)

    def ping(self) -> str:
        """The server's version, for `doctor`."""
        return f"version {self._server.ping()}"

    def read(self, window: Seconds) -> Reading:
        """What ran near a window, each pod on GPUs of its node."""
        gap = self._settings.sampling.max_gap_ms
        reach = (window[0] * 1000 - gap, window[1] * 1000 + gap)
        cluster = Cluster(self._settings.sampling, self._settings.tenant_label, self._settings.model)
        samples = 0

        def ask(metric: str, *matchers: str) -> Iterator[tuple[dict[str, str], list[tuple[int, str]]]]:
            nonlocal samples
            wanted = ",".join(part for part in (*matchers, self._settings.matchers) if part)
            for labels, values in self._server.samples(f"{metric}{{{wanted}}}", reach):
                samples += len(values)
                yield labels, values

        resource = f"resource=~{orjson.dumps(RESOURCES).decode()}"
        cluster.add_requests(ask("kube_pod_container_resource_requests", resource))
        cluster.add_requests(ask("kube_pod_init_container_resource_requests", resource), is_init=True)
        if cluster.has_pods:
            cluster.add_phases(ask("kube_pod_status_phase", 'phase="Running"'))
            if self._settings.tenant_label.startswith("label_"):
                cluster.add_pod_labels(ask("kube_pod_labels"))
        cluster.add_nodes(ask("kube_node_status_capacity", resource))
        if not cluster.has_nodes:
            cluster.add_nodes(ask("kube_node_status_allocatable", resource))
        cluster.add_node_labels(ask("kube_node_labels", f'{PRODUCT}!=""'))
        state = cluster.state()
        placed = place(state.claims, {pool: known.size for pool, known in state.pools.items()})
        reading = reading_of(
            window,
            holdings_of(self.name, placed, state.pools),
            {instance or self.name: spans for instance, spans in state.answering.items()},
        )
        reading.samples = samples
        reading.problems.update(state.problems, unplaced_lines(placed, window, "pod"))
        return reading
