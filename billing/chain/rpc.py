"""JSON-RPC over HTTP: web3's provider as transport, raw JSON as answer."""

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from eth_typing import URI
from requests import Session
from requests.exceptions import RequestException, Timeout
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from billing.chain.block import Block, block, parameter, quantity
from billing.chain.budget import Budget
from billing.chain.node import Busy, RangeTooLarge
from billing.core.errors import Conflict, StablemeterError, Unavailable, Untrusted
from billing.core.garbage import uncollected
from billing.core.onchain import TRANSFER_TOPIC, Address, Hash32

BODY_BYTES_MAX: Final = 256 << 20
BATCH_MAX: Final = 100
"""Headers in one request. Public nodes allow 100 and more."""
_TOO_LARGE: Final = (
    "range", "too many", "more than", "limit", "too large", "too big", "exceed", "timeout", "timed out", "10000", "max results",
)  # fmt: skip
_RATE: Final = ("rate", "too many requests", "quota", "capacity")
_TOO_HEAVY: Final = ("gas", "oog", "timeout", "timed out", "aborted", "too large", "too big", "response size")
_UNTOLD: Final = ("not found", "unknown block", "invalid", "not supported", "unsupported", "0x prefix")


class Untold(Unavailable):
    """The node has no such block, or does not know the word for it."""


Observer = Callable[[str, str, int], None]
"""Told of every request: (method, outcome, calls in it)."""


def ignore(method: str, outcome: str, calls: int) -> None:
    """Nobody listens."""


class _Refused(Exception):
    """An answer with an error status. Its body, if it is short JSON, says why."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status, self.body = status, body
        self.rest_seconds = _rest(headers.get("Retry-After", ""), headers.get("Date", ""))


def _rest(retry_after: str, date: str) -> int:
    """How long to leave a server alone, said in seconds or as a time by its own clock. 0: it did not say; then the pool's own
    pauses count."""
    if re.fullmatch(r"[0-9]{1,6}", retry_after):
        return int(retry_after)
    try:
        rest = parsedate_to_datetime(retry_after) - parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return 0
    return max(0, min(int(rest.total_seconds()), 10**6))


class Deadlines:
    """Ends answers that take too long as a whole. Timeouts of sockets know only how long one read takes: a server that sends a
    byte now and then would hold a thread for hours."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, tuple[int, HTTPResponse]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, answer: HTTPResponse, seconds: int) -> Iterator[None]:
        """Raises Timeout when the answer was not read in time."""
        late = time.monotonic_ns() + seconds * 10**9
        with self._lock:
            self._running[id(answer)] = late, answer
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="rpc deadlines", daemon=True)
                self._thread.start()
        try:
            yield
        except (RequestException, HTTPError, OSError):
            if time.monotonic_ns() < late:
                raise
            raise Timeout("the answer comes too slowly") from None
        finally:
            with self._lock:
                del self._running[id(answer)]

    def _look(self) -> None:
        while True:
            time.sleep(1)
            with self._lock:
                for late, answer in self._running.values():
                    if time.monotonic_ns() >= late:
                        answer.shutdown()


DEADLINES: Final = Deadlines()


class _Provider(HTTPProvider):
    """web3's transport, with bounds on the size and the time of a whole answer. It never retries: the pool does."""

    answer_seconds = 20

    def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        kwargs = {**self.get_request_kwargs(), "stream": True}
        manager, uri = self._request_session_manager, URI(str(self.endpoint_uri))
        with manager.get_response_from_post_request(uri, data=request_data, **kwargs) as response:
            if response.status_code >= 400:
                said = response.raw.read(1 << 16, decode_content=True) or b""
                raise _Refused(response.status_code, said, response.headers)
            chunks, size = [], 0
            with DEADLINES.watch(response.raw, self.answer_seconds):
                for chunk in response.iter_content(1 << 18):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > BODY_BYTES_MAX:
                        raise RangeTooLarge("the answer is too large")
            return b"".join(chunks)


def _outcome(error: StablemeterError) -> str:
    """How a request ended, in a word that a metric can carry."""
    kinds = ((Busy, "busy"), (RangeTooLarge, "too_large"), (Untrusted, "untrusted"), (Conflict, "reverted"))
    return next((word for kind, word in kinds if isinstance(error, kind)), "unavailable")


class HttpNode:
    """One endpoint of a chain."""

    def __init__(
        self, url: str, timeout_seconds: int = 20, *, budget: Budget | None = None, observer: Observer = ignore
    ) -> None:
        """`timeout_seconds` bounds each step of a request, and three times as much the answer as a whole."""
        parts = urlsplit(url)
        self._shown = f"{parts.scheme}://{parts.hostname}{':' + str(parts.port) if parts.port else ''}"
        self._target, self._timeout = url, timeout_seconds
        self._budget, self._observer = budget or Budget(0), observer
        self._mine = threading.local()
        self._sessions: list[Session] = []
        self._ids = itertools.count(1)
        self._batch = BATCH_MAX

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    @property
    def url(self) -> str:
        """Scheme and host only: paths and queries of RPC URLs hold keys."""
        return self._shown

    def _provider(self) -> _Provider:
        """This thread's connection: jobs and pages ask the same endpoint at the same time."""
        found: _Provider | None = getattr(self._mine, "provider", None)
        if found is None:
            session = Session()
            self._sessions.append(session)
            found = self._mine.provider = _Provider(
                self._target,
                request_kwargs={"timeout": self._timeout},
                session=session,
                exception_retry_configuration=None,
            )
            found.answer_seconds = 3 * self._timeout
        return found

    def request(self, method: str, params: Sequence[Any]) -> Any:
        """The `result` of a call. Raises Unavailable, RangeTooLarge, Conflict (a call that reverts) or Untrusted."""
        number = next(self._ids)
        with self._told(method, 1):
            return self._result(method, self._post(method, _call(number, method, params)), number)

    @contextmanager
    def _told(self, method: str, calls: int) -> Iterator[None]:
        """Keep to the budget, and tell the observer how it ended."""
        self._budget.take(calls)
        outcome = "bug"
        try:
            yield
            outcome = "ok"
        except StablemeterError as error:
            outcome = _outcome(error)
            raise
        finally:
            self._observer(method, outcome, calls)

    def _post(self, method: str, body: Any) -> Any:
        """Send a call, or several as one batch, and decode what comes back."""
        try:
            answer = self._provider()._make_request(RPCEndpoint(method), orjson.dumps(body))
            with uncollected():
                return orjson.loads(answer)
        except _Refused as error:
            if error.rest_seconds:
                raise Busy(
                    f"{self.url} answered {error.status} to {method} and asks for a rest of {error.rest_seconds} s",
                    error.rest_seconds,
                ) from None
            said = _said(error.body)
            if said is not None:
                return said
            if error.status == 413:
                raise RangeTooLarge(f"{self.url} finds the request too large") from None
            raise Unavailable(f"{self.url} answered {error.status} to {method}") from None
        except (RequestException, HTTPError, OSError) as error:
            raise Unavailable(f"{self.url} does not answer: {type(error).__name__}") from None
        except orjson.JSONDecodeError:
            raise Untrusted(f"{self.url} answered {method} with something that is no JSON") from None

    def _result(self, method: str, answer: Any, number: int) -> Any:
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise Untrusted(f"{self.url} answered {method} with something that is no JSON-RPC")
        if answer.get("error") is not None:
            raise self._refusal(method, answer["error"])
        if answer.get("id") != number:
            raise Untrusted(f"{self.url} answered another request")
        return answer["result"]

    def _refusal(self, method: str, error: Any) -> Exception:
        detail = error if isinstance(error, dict) else {}
        message = str(detail.get("message", error))[:200]
        words = message.lower()
        if method in ("eth_call", "eth_estimateGas") and (
            detail.get("code") == 3 or "revert" in words or "opcode" in words
        ):
            return Conflict(f"the call reverts: {message}")
        if method == "eth_call" and any(word in words for word in _TOO_HEAVY):
            return RangeTooLarge(f"{self.url}: {message}")
        if any(word in words for word in _RATE):
            return Unavailable(f"{self.url} limits the rate of requests: {message}")
        if method == "eth_getLogs" and any(word in words for word in _TOO_LARGE):
            return RangeTooLarge(f"{self.url}: {message}")
        kind = Untold if any(word in words for word in _UNTOLD) else Unavailable
        return kind(f"{self.url} refused {method}: {message}")

    def chain_id(self) -> int:
        return quantity(self.request("eth_chainId", []))

    def block(self, which: int | str) -> Block | None:
        tag = hex(which) if isinstance(which, int) else which
        try:
            return self._block(which, self.request("eth_getBlockByNumber", [tag, False]))
        except Untold:
            if which in ("safe", "finalized"):  # some nodes have an error for what others call null
                return None
            raise

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        """In batches. When an endpoint refuses one, its blocks are asked for one by one, and the next batches are smaller."""
        found: list[Block | None] = []
        while len(found) < len(numbers):
            part = numbers[len(found) : len(found) + self._batch]
            answers = self._headers(part) if len(part) > 1 else None
            found += [self.block(number) for number in part] if answers is None else answers
        return found

    def _headers(self, numbers: Sequence[int]) -> list[Block | None] | None:
        """One batch; None when the endpoint does not want it."""
        found = self._together("eth_getBlockByNumber", [[hex(number), False] for number in numbers])
        if found is None:
            return None
        return [self._block(number, raw) for number, raw in zip(numbers, found, strict=True)]

    def _together(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any] | None:
        """The results of several calls in one request; None when the endpoint does not want so many. A call that reverts has the
        result None. Raises the error of any other call that fails."""
        wanted = [next(self._ids) for _ in params]
        calls = [_call(number, method, one) for number, one in zip(wanted, params, strict=True)]
        try:
            with self._told(method, len(calls)):
                answers = self._post(method, calls)
        except Unavailable:
            answers = None
        if not isinstance(answers, list):  # asked for one thing it answers, or says what is wrong
            self._batch = max(1, self._batch // 2)
            return None
        self._batch = min(BATCH_MAX, self._batch + 1)
        by_id = {one.get("id"): one for one in answers if isinstance(one, dict)}
        if len(answers) != len(wanted) or by_id.keys() != set(wanted):
            raise Untrusted(f"{self.url} answered a batch with other answers than were asked for")
        return [self._or_none(method, by_id[number], number) for number in wanted]

    def _or_none(self, method: str, answer: Any, number: int) -> Any:
        try:
            return self._result(method, answer, number)
        except Conflict:
            return None

    def _many(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        """The results of many calls, in as few requests as the endpoint allows."""
        found: list[Any] = []
        while len(found) < len(params):
            part = params[len(found) : len(found) + self._batch]
            answers = self._together(method, part) if len(part) > 1 else None
            if answers is None:
                answers = [self._alone(method, one) for one in part]
            found += answers
        return found

    def _alone(self, method: str, params: Sequence[Any]) -> Any:
        try:
            return self.request(method, params)
        except Conflict:
            return None

    def _block(self, which: int | str, raw: Any) -> Block | None:
        if raw is None:
            return None
        found = block(raw)
        if isinstance(which, int) and found.number != which:
            raise Untrusted(f"{self.url} answered block {found.number} instead of {which}")
        return found

    def logs(
        self,
        tokens: Sequence[Address],
        *,
        span: tuple[int, int] | None = None,
        block_hash: Hash32 | None = None,
        topics: Sequence[Any] = (),
    ) -> list[dict[str, Any]]:
        wanted: dict[str, Any] = {"topics": [TRANSFER_TOPIC, *topics]}
        if tokens:
            wanted["address"] = list(tokens)
        if block_hash is not None:
            wanted["blockHash"] = block_hash
        else:
            assert span is not None
            wanted |= {"fromBlock": hex(span[0]), "toBlock": hex(span[1])}
        raw = self.request("eth_getLogs", [wanted])
        if not isinstance(raw, list) or not set(map(type, raw)) <= {dict}:
            raise Untrusted(f"{self.url} answered eth_getLogs with something that is no list of logs")
        return raw

    def transaction(self, tx_hash: Hash32) -> dict[str, Any] | None:
        raw = self.request("eth_getTransactionByHash", [tx_hash])
        if raw is not None and (not isinstance(raw, dict) or str(raw.get("hash")).lower() != tx_hash):
            raise Untrusted(f"{self.url} answered with another transaction")
        return raw

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        return self._bytes(self.request("eth_call", [{"to": to, "data": "0x" + data.hex()}, parameter(block)]))

    def call_many(self, wanted: Sequence[tuple[Address, bytes]], block: int | str) -> list[bytes | None]:
        params = [[{"to": to, "data": "0x" + data.hex()}, parameter(block)] for to, data in wanted]
        return [None if raw is None else self._bytes(raw) for raw in self._many("eth_call", params)]

    def coins(self, owners: Sequence[Address], block: int | str) -> list[int]:
        return [quantity(raw) for raw in self._many("eth_getBalance", [[owner, parameter(block)] for owner in owners])]

    def code(self, address: Address) -> bytes:
        return self._bytes(self.request("eth_getCode", [address, "latest"]))

    def have_code(self, addresses: Sequence[Address]) -> list[bool]:
        params = [[address, "latest"] for address in addresses]
        return [bool(self._bytes(raw)) for raw in self._many("eth_getCode", params)]

    def estimate_gas(self, sender: Address, to: Address, data: bytes) -> int:
        return quantity(self.request("eth_estimateGas", [{"from": sender, "to": to, "data": "0x" + data.hex()}]))

    def gas_price(self) -> int:
        return quantity(self.request("eth_gasPrice", []))

    def _bytes(self, text: Any) -> bytes:
        try:
            return bytes.fromhex(text[2:])
        except (TypeError, ValueError):
            raise Untrusted(f"{self.url} answered with something that is no hex") from None


def _said(body: bytes) -> dict[str, Any] | None:
    """The JSON-RPC error that some providers send with an error status."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) and answer.get("error") else None


def _call(number: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
