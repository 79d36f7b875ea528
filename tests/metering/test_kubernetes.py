"""kube-state-metrics through a real Prometheus, and series that are not as they should be."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.errors import Unavailable, Untrusted
from billing.fleet.gpu import DeviceKey
from billing.metering.coverage import presence
from billing.metering.holdings import EXACT, Pool
from billing.metering.reading import Cadence, Reading
from billing.metering.sources.access import Access
from billing.metering.sources.kubernetes import KubernetesSettings, KubernetesSource
from billing.metering.sources.kubestate import Cluster, profile_of
from billing.metering.sources.promapi import PrometheusApi
from tests.factories import second
from tests.parts import NO_TLS, http_server, prometheus

SAMPLING = Cadence(60_000, 150_000)
TARGET = 'job="ksm",instance="ksm:8080"'
PRODUCT = "NVIDIA-H100-80GB-HBM3"

Lives = Callable[[int], bool]


def minutes(start: float, end: float) -> Lives:
    """Is a time within so many minutes since the start of October?"""
    return lambda t: second(0) + start * 60 <= t < second(0) + end * 60


ALWAYS = minutes(0, 10**6)


class Page:
    """Builds OpenMetrics text: what kube-state-metrics said at each scrape."""

    def __init__(self, hours: int) -> None:
        self._times = range(second(0), second(hours) + 300, 60)
        self._lines: dict[str, list[str]] = {}

    def say(self, metric: str, labels: str, value: Callable[[int], object], while_: Lives = ALWAYS) -> None:
        for t in self._times:
            if while_(t) and not minutes(120, 135)(t):  # a quarter of an hour nobody scraped
                self._lines.setdefault(metric, []).append(f"{metric}{{{TARGET},{labels}}} {value(t)} {t}.5")

    def node(
        self, name: str, capacity: dict[str, int], product: str, while_: Lives = ALWAYS, *, replicas: int = 0
    ) -> None:
        for resource, count in capacity.items():
            labels = f'node="{name}",resource="{resource}",unit="integer"'
            self.say("kube_node_status_capacity", labels, lambda t, count=count: count, while_)  # type: ignore[misc]
        more = f',label_nvidia_com_gpu_replicas="{replicas}"' if replicas else ""
        self.say(
            "kube_node_labels", f'node="{name}",label_nvidia_com_gpu_product="{product}"{more}', lambda t: 1, while_
        )

    def pod(
        self, name: str, node: str, containers: dict[str, int], exists: Lives, runs: Lives,
        *, namespace: str = "acme", resource: str = "nvidia_com_gpu", init: dict[str, int] | None = None, more: str = "",
    ) -> None:  # fmt: skip
        who = f'namespace="kube-system",exported_namespace="{namespace}",exported_pod="{name}",pod="ksm-0",uid="{name}-uid"'
        for metric, found in (
            ("kube_pod_container_resource_requests", containers),
            ("kube_pod_init_container_resource_requests", init or {}),
        ):
            for container, count in found.items():
                labels = (
                    f'{who},exported_container="{container}",node="{node}",resource="{resource}",unit="integer"{more}'
                )
                self.say(metric, labels, lambda t, count=count: count, exists)  # type: ignore[misc]
        for phase in ("Pending", "Running", "Succeeded"):
            now = {"Pending": lambda t: not runs(t), "Running": runs, "Succeeded": lambda t: False}[phase]
            self.say("kube_pod_status_phase", f'{who},phase="{phase}"', lambda t, now=now: int(now(t)), exists)  # type: ignore[misc]
        self.say("kube_pod_labels", f'{who},label_team="{namespace}-team"', lambda t: 1, exists)

    def text(self) -> str:
        lines = [line for metric, found in self._lines.items() for line in (f"# TYPE {metric} gauge", *found)]
        return "\n".join([*lines, "# EOF", ""])


def cluster() -> str:
    page = Page(4)
    page.node("n1", {"nvidia_com_gpu": 8, "cpu": 128}, PRODUCT)
    page.node("n2", {"nvidia_com_gpu": 0, "nvidia_com_mig_1g_10gb": 7, "nvidia_com_mig_3g_40gb": 2}, PRODUCT)
    page.node("gone", {"nvidia_com_gpu": 2}, PRODUCT, minutes(0, 90))
    page.node("single", {"nvidia_com_gpu": 7}, f"{PRODUCT}-MIG-1g.10gb")
    page.node("sliced", {"nvidia_com_gpu": 8}, f"{PRODUCT}-SHARED")
    # two containers; pending for ten minutes, then running, then done and lingering for an hour
    page.pod("train", "n1", {"main": 3, "side": 1}, minutes(0, 150), minutes(10, 70))
    # an init container asks for more than the rest
    page.pod("prepared", "n1", {"main": 1}, ALWAYS, minutes(60, 180), namespace="beta", init={"load": 2, "check": 1})
    page.pod("waiting", "n1", {"main": 8}, ALWAYS, minutes(0, 0), namespace="gamma")
    page.pod("mig", "n2", {"main": 2}, ALWAYS, minutes(0, 60), namespace="beta", resource="nvidia_com_mig_1g_10gb")
    page.pod("slice", "single", {"main": 1}, ALWAYS, minutes(0, 60), namespace="delta")
    page.pod("shared", "sliced", {"main": 1}, ALWAYS, minutes(0, 60), namespace="delta")
    # two GPUs in four shares each, under both names that the device plugin gives them; one cut into too many
    page.node("quarters", {"nvidia_com_gpu": 8}, f"{PRODUCT}-SHARED", replicas=4)
    page.node("renamed", {"nvidia_com_gpu": 0, "nvidia_com_gpu_shared": 8}, PRODUCT, replicas=4)
    page.node("sixteenths", {"nvidia_com_gpu": 16}, f"{PRODUCT}-SHARED", replicas=16)
    page.pod("quarter", "quarters", {"main": 3}, ALWAYS, minutes(0, 60), namespace="delta")
    page.pod("other", "quarters", {"main": 1}, ALWAYS, minutes(0, 60), namespace="beta")
    page.pod(
        "piece", "renamed", {"main": 1}, ALWAYS, minutes(0, 60), namespace="beta", resource="nvidia_com_gpu_shared"
    )
    page.pod("crumb", "sixteenths", {"main": 1}, ALWAYS, minutes(0, 60), namespace="delta")
    page.pod("processor", "n1", {"main": 4}, ALWAYS, ALWAYS, namespace="cpu", resource="cpu")
    return page.text()


@pytest.fixture(scope="module")
def server(scratch: Path) -> Iterator[str]:
    with prometheus(scratch / "kubernetes", cluster()) as url:
        yield url


_made: list[KubernetesSource] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def source(url: str, **fields: str) -> KubernetesSource:
    client = PrometheusApi("k", Access(url, timeout_seconds=5))
    _made.append(KubernetesSource(KubernetesSettings("k", sampling=SAMPLING, **fields), client))  # type: ignore[arg-type]
    return _made[-1]


def seconds(reading: Reading) -> dict[str, int]:
    """Device-seconds by label and profile; idle ones under the empty label."""
    found: dict[str, int] = {}
    for key, segments in presence(reading, EXACT).items():
        for start, end, seen in segments:
            name = "+".join(seen.labels) + (f" {key.profile}" if key.profile else "")
            found[name] = found.get(name, 0) + end - start
    return found


def on(reading: Reading, node: str) -> dict[str, int]:
    return seconds(Reading(reading.window, {k: one for k, one in reading.devices.items() if one.host == node}))


def test_only_running_pods_hold_gpus_and_all_of_their_containers_count(server: str) -> None:
    reading = source(server).read((second(0), second(1)))
    assert on(reading, "n1") == {
        "acme": 4 * 51 * 60, "beta": 2 * 60, "": 8 * 3600 - 4 * 51 * 60 - 2 * 60,
    }, "from the scrape that saw it pending; beta's first sample, on the edge, covers the minute before"  # fmt: skip
    assert on(source(server).read((second(1), second(2))), "n1") == {
        "acme": 4 * 9 * 60, "beta": 2 * 59 * 60, "": 8 * 59 * 60 - 4 * 9 * 60 - 2 * 59 * 60,
    }  # fmt: skip
    assert reading.devices[DeviceKey("k/n1/0")].model == PRODUCT


def test_instances_are_seats_of_their_profile(server: str) -> None:
    reading = source(server).read((second(0), second(1)))
    found = on(reading, "n2")
    assert found == {"beta 1g.10gb": 2 * 59 * 60, " 1g.10gb": 5 * 3600 + 2 * 60, " 3g.40gb": 2 * 3600}
    assert {key.uuid for key in reading.devices if key.uuid.startswith("k/n2/")} == {"k/n2/mig0", "k/n2/mig1"}
    assert on(reading, "single") == {"delta 1g.10gb": 59 * 60, " 1g.10gb": 6 * 3600 + 60}
    assert next(one.model for one in reading.devices.values() if one.host == "single") == PRODUCT


def test_shares_of_time_sliced_gpus_are_parts_of_a_gpu(server: str) -> None:
    reading = source(server).read((second(0), second(1)))
    ran, rest = 59 * 60, 3600
    assert on(reading, "quarters") == {
        "delta 1of4": 3 * ran, "beta 1of4": ran, " 1of4": 4 * rest + 4 * 60,
    }  # fmt: skip
    assert on(reading, "renamed") == {"beta 1of4": ran, " 1of4": 7 * rest + 60}
    assert {key.uuid for key in reading.devices if "quarters" in key.uuid} == {
        "k/quarters/shared0",
        "k/quarters/shared1",
    }


def test_shares_of_which_nobody_knows_the_size_are_a_problem_and_not_whole_gpus(server: str) -> None:
    reading = source(server).read((second(0), second(1)))
    said = "slices its GPUs by time, into a number of shares that is not told or does not divide 840: the shares of"
    assert reading.problems == {
        f"sliced {said} delta/shared are not billed",
        f"sixteenths {said} delta/crumb are not billed",
    }
    assert set(on(reading, "sliced")) == {""} and set(on(reading, "sixteenths")) == {""}


def test_a_node_that_went_away_is_missing_and_an_outage_is_blind(server: str) -> None:
    from billing.metering.coverage import answering

    reading = source(server).read((second(1), second(2)))
    assert on(reading, "gone") == {"": 2 * 29 * 60}  # the last scrape that knew it was at 89 minutes
    assert answering(reading, EXACT) == {"ksm:8080": [(second(1) - 1, second(1) + 59 * 60)]}
    blind = source(server).read((second(2), second(3)))
    seen = answering(blind, EXACT)["ksm:8080"]
    assert [(start - second(2), end - second(2)) for start, end in seen] == [(14 * 60, 3601)]
    assert on(blind, "n1")["beta"] == 2 * 45 * 60


def test_windows_tile(server: str) -> None:
    one = source(server)
    whole = seconds(one.read((second(0), second(4))))
    parts: dict[str, int] = {}
    edges = [
        second(0),
        second(0) + 601,
        second(1),
        second(1) + 1234,
        second(2.1),
        second(2.2),
        second(3) + 7,
        second(4),
    ]
    for start, end in pairwise(edges):
        for name, amount in seconds(one.read((start, end))).items():
            parts[name] = parts.get(name, 0) + amount
    assert parts == whole


def test_a_label_of_the_pod_may_name_the_tenant(server: str) -> None:
    assert "acme-team" in on(source(server, tenant_label="label_team").read((second(0), second(1))), "n1")
    reading = source(server, tenant_label="label_nobody").read((second(0), second(1)))
    assert set(on(reading, "n1")) == {""}
    assert "pod acme/train has no label_nobody, not billed" in reading.problems


def test_a_server_without_the_series_says_so(server: str) -> None:
    reading = source(server, matchers='job="nothing"').read((second(0), second(1)))
    assert not reading.devices and not reading.answering
    assert reading.problems == {"no series of kube-state-metrics: is it scraped, and do the matchers fit?"}
    assert source(server).ping().startswith("version ")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"", Untrusted),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[{"met', Untrusted),
        (200, b"\0\xff", Untrusted),
        (200, b'{"status":"success","data":{"resultType":"vector","result":[]}}', Untrusted),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["partial"]}', Untrusted),
        (
            200,
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1e400,"1"]]}]}}',
            Untrusted,
        ),
        (
            200,
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["x","1"]]}]}}',
            Untrusted,
        ),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[7]}}', Untrusted),
        (503, b"down", Unavailable),
    ],
)
def test_an_answer_that_cannot_be_right_fails_the_read(status: int, body: bytes, error: type[Exception]) -> None:
    with http_server(lambda path, _: (status, body)) as url, pytest.raises(error):
        source(url).read((second(0), second(1)))


def test_a_span_that_the_server_finds_too_large_is_read_in_halves(server: str) -> None:
    import httpx

    def limited(path: str, body: bytes) -> tuple[int, bytes]:
        query = parse_qs(body.decode())
        if int(query["query"][0].rpartition("[")[2].rstrip("s]")) > 1500:
            return 422, b'{"status":"error","error":"query processing would load too many samples into memory"}'
        answer = httpx.post(server + path, data={key: values[0] for key, values in query.items()}, verify=NO_TLS)
        return answer.status_code, answer.content

    with http_server(limited) as url:
        assert seconds(source(url).read((second(0), second(1)))) == seconds(source(server).read((second(0), second(1))))


@pytest.mark.parametrize(
    ("resource", "profile"),
    [
        ("nvidia_com_gpu", ""), ("nvidia_com_mig_1g_10gb", "1g.10gb"), ("nvidia_com_mig_1g_10gb_me", "1g.10gb+me"),
        ("nvidia_com_mig_7g_80gb", "7g.80gb"), ("nvidia_com_gpu_shared", ""), ("cpu", None), ("nvidia_com_mig_", None),
    ],
)  # fmt: skip
def test_resources_are_whole_gpus_profiles_or_nothing(resource: str, profile: str | None) -> None:
    assert profile_of(resource) == profile


def who(uid: str = "u", **more: str) -> dict[str, str]:
    return {
        "namespace": "ns",
        "pod": "p",
        "uid": uid,
        "node": "n",
        "container": "c",
        "resource": "nvidia_com_gpu",
        **more,
    }


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "0.5", "1e9", "99999999", ""])
def test_a_number_of_gpus_that_is_none_is_a_problem(value: str) -> None:
    one = Cluster(SAMPLING, "namespace", "")
    one.add_requests([(who(), [(60_000, value)])])
    one.add_phases([(who(), [(60_000, "1")])])
    one.add_nodes([({"node": "n", "resource": "nvidia_com_gpu"}, [(60_000, value)])])
    state = one.state()
    assert not state.claims and state.pools[Pool("n")].size == 0
    assert value == "" or "which is no number of them" in " ".join(state.problems)


def test_two_replicas_that_are_sampled_at_other_instants_count_once() -> None:
    """Behind a de-duplicating server the requests may be of one replica and the phase of the other."""
    for shift in (0, 30_000):
        one = Cluster(SAMPLING, "namespace", "m")
        times = range(0, 3_600_000, 60_000)
        one.add_requests(
            [(who(instance="a"), [(t, "2") for t in times]), (who(instance="b"), [(t + shift, "2") for t in times])]
        )
        one.add_phases([(who(instance="b"), [(t + shift, "1") for t in times])])
        (claim,) = one.state().claims
        assert claim.count == 2 and claim.span[1] - claim.span[0] in range(3540, 3601)


def test_pods_on_a_node_without_capacity_are_billed_and_reported() -> None:
    one = Cluster(SAMPLING, "namespace", "m")
    one.add_requests([(who(), [(60_000, "2")])])
    one.add_phases([(who(), [(60_000, "1")])])
    state = one.state()
    assert state.pools[Pool("n")].size == 2 and state.claims[0].count == 2
    assert state.problems == {"n has pods with GPUs and no capacity: its idle GPUs are not seen"}


words = st.sampled_from(["", "n", "1", "nvidia_com_gpu", "acme", "\n", "é", "x" * 300])
strange = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from(["namespace", "pod", "uid", "node", "container", "resource", "instance", "phase"]), words
        ),
        st.lists(st.tuples(st.integers(0, 10**7), st.sampled_from(["1", "0", "8", "NaN", "", "-3"])), max_size=4),
    ),
    max_size=5,
)


@given(strange, strange, strange)
def test_any_series_are_understood_or_a_problem(requests: list, phases: list, nodes: list) -> None:  # type: ignore[type-arg]
    one = Cluster(SAMPLING, "namespace", "")
    one.add_requests(requests)
    one.add_phases(phases)
    one.add_nodes(nodes)
    one.add_node_labels(nodes)
    state = one.state()
    assert all(claim.count > 0 and claim.pools[0] in state.pools for claim in state.claims)


def test_what_prometheus_says_about_json_is_what_is_asked() -> None:
    """The resource matcher is a quoted PromQL string."""
    asked = []

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        asked.append(parse_qs(body.decode())["query"][0])
        return 200, orjson.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}})

    with http_server(answer) as url:
        source(url, matchers='job="ksm"').read((second(0), second(1)))
    assert asked[0] == (
        'kube_pod_container_resource_requests{resource=~"nvidia_com_gpu|nvidia_com_gpu_shared|nvidia_com_mig_.+",job="ksm"}[3900s]'
    )
    assert not any(query.startswith("kube_pod_status_phase") for query in asked), "no pod asked for a GPU"
