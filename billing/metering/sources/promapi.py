"""Speaks Prometheus's HTTP API, and that of Thanos, Mimir and VictoriaMetrics: who asks, how much, what may be an answer."""

import base64
import gc
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from operator import lt
from typing import Any, Final, NamedTuple, TypeVar

import httpx
import orjson

from billing.core.errors import Invalid, Unavailable, Untrusted

T = TypeVar("T")

BODY_BYTES_MAX: Final = 256 << 20
FLOOR_MS: Final = 60_000
"""A span that is not longer is not halved any more."""
TIMEOUTS_MAX: Final = 3
"""A server that is silent for so many questions of one read is taken to be away, and its spans are not halved any more."""
RETRIES: Final = 3
RETRY_SECONDS_MAX: Final = 60
_TOO_MUCH: Final = ("too many", "exceed", "limit", "timed out", "timeout", "too large", "too big", "too long")


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


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server is and who asks. Secrets are in no repr and no message."""

    url: str
    backend: str = "prometheus"
    username: str = ""
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    timeout_seconds: int = 120

    @property
    def secrets(self) -> list[str]:
        """What a message must not repeat, the longest first."""
        basic = base64.b64encode(f"{self.username}:{self.password}".encode()).decode() if self.password else ""
        found = {self.password, self.bearer_token, basic, *self.headers.values()}
        return sorted((one for one in found if len(one) >= 4), key=len, reverse=True)


class Series(NamedTuple):
    """One series: its labels, and when it was sampled, in ms and in order."""

    labels: dict[str, str]
    times: list[int]


class TooMuch(Unavailable):
    """The server finds the question too large; a smaller one may be answered."""


class PrometheusApi:
    """One server. Safe to be asked by several threads."""

    def __init__(self, name: str, access: Access, pause: Callable[[int], None] = time.sleep) -> None:
        """`pause` waits some seconds. Raises Invalid for a certificate file that cannot be used."""
        self._name, self._access, self._pause = name, access, pause
        self._backend = BACKENDS[access.backend]
        headers = {"Accept-Encoding": "identity", **self._backend.headers, **access.headers}
        if access.bearer_token:
            headers["Authorization"] = f"Bearer {access.bearer_token}"
        self._client = httpx.Client(
            base_url=access.url.rstrip("/"),
            timeout=access.timeout_seconds,
            headers=headers,
            auth=(access.username, access.password) if access.username else None,
            verify=_trust(name, access),
            follow_redirects=False,
        )
        # the server gives up before we do: its own words say that the question was too large
        self._timeout = f"{max(1, access.timeout_seconds * 9 // 10)}s"

    def close(self) -> None:
        self._client.close()

    def matrix(self, selector: str, reach: tuple[int, int], value: str | None = None) -> list[Series]:
        """Every series with samples in `(reach[0], reach[1]]`; only the samples of this value, if one is given.

        A span that the server finds too large is asked for in halves.
        """
        return self._halved(selector, reach, value, [0])

    def _halved(self, selector: str, reach: tuple[int, int], value: str | None, timeouts: list[int]) -> list[Series]:
        seconds = -(-(reach[1] - reach[0]) // 1000)
        query = {"query": f"{selector}[{seconds}s]", "time": _moment(reach[1]), "timeout": self._timeout}
        try:
            return self._decoded(
                self._ask("POST", "/api/v1/query", query), lambda data: self._series(data, reach, value)
            )
        except TooMuch as error:
            timeouts[0] += isinstance(error.__cause__, httpx.TimeoutException)
            if timeouts[0] >= TIMEOUTS_MAX:
                raise Unavailable(error.what) from error
            if reach[1] - reach[0] <= FLOOR_MS:
                raise Unavailable(
                    f"{error.what}, even for {seconds} s", remedy="lower shard_instances or raise the server's limits"
                ) from error
        middle = (reach[0] + reach[1]) // 2000 * 1000
        spans = ((reach[0], middle), (middle, reach[1]))
        return _rejoined([one for span in spans for one in self._halved(selector, span, value, timeouts)])

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
        with _uncollected():
            try:
                answer = orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise Untrusted(f"source {self._name} answered with something that is no JSON") from error
            if not isinstance(answer, dict) or answer.get("status") != "success":
                raise Untrusted(f"source {self._name} answered without success")
            if answer.get("warnings"):
                raise Untrusted(f"source {self._name} answered with a warning: {self._clean(str(answer['warnings']))}")
            if answer.get("isPartial"):
                raise Untrusted(f"source {self._name} answered with a part only; some of its stores are away")
            try:
                return decode(answer["data"])
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise Untrusted(f"source {self._name} answered with something that is no result") from error

    def _series(self, data: Any, reach: tuple[int, int], value: str | None) -> list[Series]:
        if data["resultType"] != "matrix":
            raise Untrusted(f"source {self._name} answered with a {data['resultType']} instead of a matrix")
        drop = self._backend.stale_markers and value is None
        found = [Series(one["metric"], _times(one["values"], reach, value, drop)) for one in data["result"]]
        return [one for one in found if one.times]

    def _ask(self, method: str, path: str, data: Mapping[str, str | list[str]]) -> bytes:
        """The body of a 200. Waits as long as the server asks for, within reason."""
        data = {**data, **self._backend.parameters}
        for attempt in range(RETRIES + 1):
            response = self._send(method, path, data)
            if response.status_code == httpx.codes.OK:
                return response.content
            wait = _wait(response)
            if wait is None or wait > RETRY_SECONDS_MAX or attempt == RETRIES:
                break
            self._pause(wait)
        raise self._refusal(response)

    def _send(self, method: str, path: str, data: Mapping[str, str | list[str]]) -> httpx.Response:
        given = {"data": data} if method == "POST" else {"params": data}
        try:
            with self._client.stream(method, path, **given) as response:  # type: ignore[arg-type]
                encoding = response.headers.get("Content-Encoding", "identity")
                if encoding != "identity":  # never unpacked: it was not asked for, and a small one may be huge
                    raise Untrusted(f"source {self._name} answered with encoding {encoding[:20]!r}, not asked for")
                body = bytearray()
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > BODY_BYTES_MAX:
                        raise TooMuch(f"source {self._name} answers with more than {BODY_BYTES_MAX} bytes")
                return httpx.Response(response.status_code, headers=response.headers, content=bytes(body))
        except httpx.ReadTimeout as error:
            raise TooMuch(f"source {self._name} did not answer in {self._access.timeout_seconds} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = self._clean(str(error)) or type(error).__name__
            raise Unavailable(f"source {self._name} at {self._access.url} does not answer: {reason}") from error

    def _refusal(self, response: httpx.Response) -> Unavailable | Untrusted:
        status = response.status_code
        what = f"source {self._name} answered {status}: {self._clean(response.text)}"
        if response.is_redirect:
            host = response.headers.get("Location", "").partition("//")[2].partition("/")[0].rpartition("@")[2]
            return Untrusted(
                f"source {self._name} redirects to {host or 'another page'}", remedy="set url to where it is"
            )
        if status in (401, 403):
            org = self._access.backend == "mimir" and "org" in response.text.lower()
            return Unavailable(what, remedy="set org_id" if org else "check the source's credentials")
        if status == 413 or (status in (400, 422, 500, 503, 504) and any(w in what.lower() for w in _TOO_MUCH)):
            return TooMuch(what)
        return Unavailable(what)

    def _clean(self, text: str) -> str:
        """A server's words, on one line, without what it was told in confidence."""
        for secret in self._access.secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:200]


def quoted(text: str) -> str:
    """A string in a selector."""
    return orjson.dumps(text).decode()


def _trust(name: str, access: Access) -> ssl.SSLContext | bool:
    if not (access.ca_file or access.client_cert_file):
        return True
    try:
        context = ssl.create_default_context(cafile=access.ca_file or None)
        if access.client_cert_file:
            context.load_cert_chain(access.client_cert_file, access.client_key_file or None)
    except OSError as error:  # ssl's errors are among them
        reason = error.strerror or error.args[-1]
        raise Invalid(f"source {name}: its certificate files cannot be used: {reason}") from None
    return context


def _moment(at_ms: int) -> str:
    return f"{at_ms // 1000}.{at_ms % 1000:03d}"


def _span(reach: tuple[int, int]) -> dict[str, str]:
    return {"start": _moment(reach[0]), "end": _moment(reach[1])}


def _wait(response: httpx.Response) -> int | None:
    """How many seconds a server asks to wait; None when it does not, or asks for what cannot be understood."""
    if response.status_code not in (429, 503):
        return None
    wanted = response.headers.get("Retry-After", "").strip()
    if not wanted:
        return 1 if response.status_code == httpx.codes.TOO_MANY_REQUESTS else None
    if wanted.isascii() and wanted.isdigit():
        return min(int(wanted[:9]), 10**9)
    try:
        left = parsedate_to_datetime(wanted) - parsedate_to_datetime(response.headers["Date"])
    except (ValueError, KeyError, TypeError):
        return None
    return max(0, -(-left // timedelta(seconds=1)))


@contextmanager
def _uncollected() -> Iterator[None]:
    """An answer is a few hundred thousand little lists. None of them is garbage while it is decoded, and looking for it
    again and again takes twice as long as decoding does."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _times(samples: list[Any], reach: tuple[int, int], value: str | None, drop_markers: bool) -> list[int]:
    """In ms and in order, without those on or before the reach's start: Prometheus 2 includes that edge, 3 does not."""
    if value is not None:
        times = [round(at * 1000) for at, found in samples if found == value]
    elif drop_markers:
        times = [round(at * 1000) for at, found in samples if found is not None and found != "NaN"]
    else:
        times = [round(at * 1000) for at, _ in samples]
    if not all(map(lt, times, times[1:])):
        times = sorted(set(times))
    if times and (times[0] <= reach[0] or times[-1] > reach[1]):
        times = [at for at in times if reach[0] < at <= reach[1]]
    return times


def _rejoined(parts: list[Series]) -> list[Series]:
    joined: dict[tuple[tuple[str, str], ...], Series] = {}
    for labels, times in parts:
        joined.setdefault(tuple(sorted(labels.items())), Series(labels, [])).times.extend(times)
    return list(joined.values())
