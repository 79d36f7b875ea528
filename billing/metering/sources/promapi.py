"""Speaks Prometheus's HTTP API, and that of Thanos, Mimir and VictoriaMetrics: who asks, how much, what may be an answer."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import orjson

from billing.core.errors import Unavailable, Untrusted
from billing.core.garbage import uncollected
from billing.metering.sources.access import Access
from billing.metering.sources.wire import Answer, Silent, TooLarge, Wire, WireError

T = TypeVar("T")

BODY_BYTES_MAX: Final = 256 << 20
FLOOR_MS: Final = 60_000
"""A span that is not longer is not halved any more."""
TIMEOUTS_MAX: Final = 3
"""A server that is silent for so many questions of one read is taken to be away, and its spans are not halved any more."""
RETRIES: Final = 3
RETRY_SECONDS_MAX: Final = 60
OK: Final = 200
CONNECTIONS_MAX: Final = 80
WORDS_BYTES_MAX: Final = 4_000
_TOO_MUCH: Final = (
    "too many", "exceed", "limit", "timed out", "timeout", "too large", "too big", "too long", "larger than", "more than",
    "resourceexhausted", "resource exhausted", "enough memory", "too much memory",
)  # fmt: skip
"""Servers word their limits in many ways, and change them."""
_OF_SERIES: Final = re.compile(
    r"series limit|number of (?:matching time)?series|uniquetimeseries|too long query|querylen"
)


@dataclass(frozen=True, slots=True)
class Backend:
    """What differs between servers that speak the same API.

    `stale_markers`: a range selector also answers the NaN that marks the end of a series, which is no sample.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    stale_markers: bool = False


BACKENDS: Final[Mapping[str, Backend]] = {
    "prometheus": Backend(),
    # Thanos leaves out stores that do not answer, and reads downsampled blocks, unless it is told not to.
    "thanos": Backend({"partial_response": "false", "dedup": "true", "max_source_resolution": "0s"}),
    "mimir": Backend(headers={"Cache-Control": "no-store"}),
    # A cluster leaves out nodes that do not answer. The cache knows nothing of late samples.
    "victoriametrics": Backend({"nocache": "1", "deny_partial_response": "1"}, stale_markers=True),
}


Series = tuple[dict[str, str], list[int]]
"""One series: its labels, and when it was sampled, in ms and in order."""
Sampled = tuple[dict[str, str], list[tuple[int, str]]]
"""One series with values, as they were written, by their times."""


class TooMuch(Unavailable):
    """The server finds the question too large; a smaller one may be answered."""


class TooMany(TooMuch):
    """There are too many series; a shorter span would have as many."""


class PrometheusApi:
    """One server. Safe to be asked by several threads."""

    def __init__(self, name: str, access: Access, pause: Callable[[int], None] = time.sleep) -> None:
        """`pause` waits some seconds. Raises Invalid for a certificate file that cannot be used."""
        self._name, self._access, self._pause = name, access, pause
        self._backend = BACKENDS[access.backend]
        self._url = access.url.rstrip("/")
        self._headers = {"Accept-Encoding": "identity", **self._backend.headers, **access.sent}
        self._wire = Wire(access.trust(name), CONNECTIONS_MAX)
        # the server gives up before we do: its own words say that the question was too large
        self._timeout = f"{max(1, access.timeout_seconds * 9 // 10)}s"

    def close(self) -> None:
        self._wire.close()

    def matrix(self, selector: str, reach: tuple[int, int], value: str | None = None) -> list[Series]:
        """Every series with samples in `(reach[0], reach[1]]`; only the samples of this value, if one is given."""
        drop = self._backend.stale_markers and value is None
        return self._halved(selector, reach, lambda samples, span: _times(samples, span, value, drop), [0])

    def samples(self, selector: str, reach: tuple[int, int]) -> list[Sampled]:
        """The same with values, for sources that need them."""
        drop = self._backend.stale_markers
        return self._halved(selector, reach, lambda samples, span: _values(samples, span, drop), [0])

    def _halved(
        self,
        selector: str,
        reach: tuple[int, int],
        decode: Callable[[Any, tuple[int, int]], list[T]],
        silent: list[int],
    ) -> list[tuple[dict[str, str], list[T]]]:
        """A span that the server finds too large is asked for in halves. `silent` counts questions without an answer."""
        seconds = -(-(reach[1] - reach[0]) // 1000)
        query = {"query": f"{selector}[{seconds}s]", "time": _moment(reach[1]), "timeout": self._timeout}
        try:
            body = self._ask("POST", "/api/v1/query", query)
            return self._decoded(body, lambda data: self._series(data, lambda samples: decode(samples, reach)))
        except TooMuch as error:
            silent[0] += isinstance(error.__cause__, Silent)
            if silent[0] >= TIMEOUTS_MAX:
                raise Unavailable(error.what) from error
            if isinstance(error, TooMany):
                raise
            if reach[1] - reach[0] <= FLOOR_MS:
                remedy = "lower shard_instances or raise the server's limits"
                raise TooMany(f"{error.what}, even for {seconds} s", remedy=remedy) from error
        middle = (reach[0] + reach[1]) // 2000 * 1000
        spans = ((reach[0], middle), (middle, reach[1]))
        return _rejoined([one for span in spans for one in self._halved(selector, span, decode, silent)])

    def label_values(self, label: str, selector: str, reach: tuple[int, int]) -> list[str]:
        """The values that a label has on series near a span, sorted. It may name some that have no sample there."""
        found = self._ask("GET", f"/api/v1/label/{label}/values", {"match[]": selector, **_span(reach)})
        return self._decoded(found, lambda data: sorted({value for value in data if isinstance(value, str) and value}))

    def series(self, selectors: Sequence[str], reach: tuple[int, int]) -> list[dict[str, str]]:
        """The labels of all series near a span that one of the selectors fits."""
        found = self._ask("POST", "/api/v1/series", {"match[]": list(selectors), **_span(reach)})
        return self._decoded(found, lambda data: [{str(k): str(v) for k, v in one.items()} for one in data])

    def version(self) -> str:
        answer = self._ask("GET", "/api/v1/status/buildinfo", {})
        return self._decoded(answer, lambda data: str(data.get("version", "unknown version")))

    def _decoded(self, body: bytes, decode: Callable[[Any], T]) -> T:
        """Raises Untrusted for a body that is no complete success of the expected shape."""
        with uncollected():
            try:
                answer = orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise Untrusted(f"source {self._name} answered with something that is no JSON") from error
            if not isinstance(answer, dict) or answer.get("status") != "success":
                raise Untrusted(f"source {self._name} answered without success")
            if answer.get("warnings"):
                raise Untrusted(
                    f"source {self._name} answered with a warning: {self._access.clean(str(answer['warnings']))}"
                )
            if answer.get("isPartial"):
                raise Untrusted(f"source {self._name} answered with a part only; some of its stores are away")
            try:
                return decode(answer["data"])
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise Untrusted(f"source {self._name} answered with something that is no result") from error

    def _series(self, data: Any, decode: Callable[[Any], list[T]]) -> list[tuple[dict[str, str], list[T]]]:
        if data["resultType"] != "matrix":
            raise Untrusted(f"source {self._name} answered with a {data['resultType']} instead of a matrix")
        found = ((one["metric"], decode(one["values"])) for one in data["result"])
        return [one for one in found if one[1]]

    def _ask(self, method: str, path: str, data: Mapping[str, str | list[str]]) -> bytes:
        """The body of a 200. Waits as long as the server asks for, within reason."""
        data = {**data, **self._backend.parameters}
        for attempt in range(RETRIES + 1):
            response = self._send(method, path, data)
            if response.status == OK:
                return response.body
            wait = _wait(response)
            if wait is None or wait > RETRY_SECONDS_MAX or attempt == RETRIES:
                break
            self._pause(wait)
        raise self._refusal(response)

    def _send(self, method: str, path: str, data: Mapping[str, str | list[str]]) -> Answer:
        written = urlencode(data, doseq=True)
        url, form = f"{self._url}{path}", None
        if method == "POST":
            form = written.encode()
        elif written:
            url = f"{url}?{written}"
        seconds = self._access.timeout_seconds
        try:
            answer = self._wire.ask(url, self._headers, seconds=seconds, bytes_max=BODY_BYTES_MAX, form=form)
        except (Silent, TooLarge) as error:
            raise TooMuch(f"source {self._name} {error}") from error
        except WireError as error:
            reason = self._access.clean(str(error))
            raise Unavailable(f"source {self._name} at {self._access.url} does not answer: {reason}") from error
        encoding = answer.headers.get("content-encoding", "identity")
        if encoding != "identity":  # never unpacked: it was not asked for, and a small one may be huge
            raise Untrusted(f"source {self._name} answered with encoding {encoding[:20]!r}, not asked for")
        return answer

    def _refusal(self, answer: Answer) -> Unavailable | Untrusted:
        status, said = answer.status, answer.body[:WORDS_BYTES_MAX].decode(errors="replace")
        what, words = f"source {self._name} answered {status}: {self._access.clean(said)}", said.lower()
        if 300 <= status < 400:
            host = answer.headers.get("location", "").partition("//")[2].partition("/")[0].rpartition("@")[2]
            return Untrusted(
                f"source {self._name} redirects to {host or 'another page'}", remedy="set url to where it is"
            )
        if status in (401, 403):
            org = self._access.backend == "mimir" and "org" in words
            return Unavailable(what, remedy="set org_id" if org else "check the source's credentials")
        if status == 413 or (status in (400, 422, 500, 503, 504) and any(one in words for one in _TOO_MUCH)):
            return (TooMany if _OF_SERIES.search(words) else TooMuch)(what)
        return Unavailable(what)


def quoted(text: str) -> str:
    """A string in a selector."""
    return orjson.dumps(text).decode()


def _moment(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03d}"


def _span(reach: tuple[int, int]) -> dict[str, str]:
    return {"start": _moment(reach[0]), "end": _moment(reach[1])}


def _wait(response: Answer) -> int | None:
    """How many seconds a server asks to wait; None when it does not, or asks for what cannot be understood."""
    if response.status not in (429, 503):
        return None
    wanted = response.headers.get("retry-after", "").strip()
    if not wanted:
        return 1 if response.status == 429 else None
    if wanted.isascii() and wanted.isdigit():
        return min(int(wanted[:9]), 10**9)
    try:
        left = parsedate_to_datetime(wanted) - parsedate_to_datetime(response.headers["date"])
    except (ValueError, KeyError, TypeError):
        return None
    return max(0, -(-left // timedelta(seconds=1)))


def _times(samples: list[Any], reach: tuple[int, int], value: str | None, drop_markers: bool) -> list[int]:
    """In ms and in order, without those on or before the reach's start: Prometheus 2 includes that edge, 3 does not."""
    if value is not None:
        times = [round(at * 1000) for at, found in samples if found == value]
    elif drop_markers:
        times = [round(at * 1000) for at, found in samples if found is not None and found != "NaN"]
    else:
        times = [round(at * 1000) for at, _ in samples]
    times.sort()
    if times and (times[0] <= reach[0] or times[-1] > reach[1]):
        times = [at for at in times if reach[0] < at <= reach[1]]
    return times


def _values(samples: list[Any], reach: tuple[int, int], drop_markers: bool) -> list[tuple[int, str]]:
    found = ((round(at * 1000), str(value)) for at, value in samples)
    return sorted(
        (at, value) for at, value in found if reach[0] < at <= reach[1] and not (drop_markers and value == "NaN")
    )


def _rejoined(parts: list[tuple[dict[str, str], list[T]]]) -> list[tuple[dict[str, str], list[T]]]:
    joined: dict[tuple[tuple[str, str], ...], tuple[dict[str, str], list[T]]] = {}
    for labels, found in parts:
        joined.setdefault(tuple(sorted(labels.items())), (labels, []))[1].extend(found)
    return list(joined.values())
