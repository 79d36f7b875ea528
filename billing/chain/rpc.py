"""JSON-RPC over HTTP: web3's provider as transport, raw JSON as answer."""

import itertools
import threading
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from eth_typing import URI
from requests import Session
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import HTTPError, RequestException
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from billing.chain.block import Block, block, quantity
from billing.chain.node import RangeTooLarge
from billing.core.errors import Conflict, Unavailable, Untrusted
from billing.core.onchain import TRANSFER_TOPIC, Address, Hash32

BODY_BYTES_MAX: Final = 256 << 20
_TOO_LARGE: Final = (
    "range", "too many", "more than", "limit", "too large", "too big", "exceed", "timeout", "timed out", "10000", "max results",
)  # fmt: skip
_RATE: Final = ("rate", "too many requests", "quota", "capacity")


class _Provider(HTTPProvider):
    """web3's transport, with a bound on answers and a faster JSON reader. It never retries: the pool does."""

    def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        kwargs = {**self.get_request_kwargs(), "stream": True}
        manager, uri = self._request_session_manager, URI(str(self.endpoint_uri))
        with manager.get_response_from_post_request(uri, data=request_data, **kwargs) as response:
            response.raise_for_status()
            body = bytearray()
            for chunk in response.iter_content(1 << 18):
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise RangeTooLarge("the answer is too large")
            return bytes(body)


class HttpNode:
    """One endpoint of a chain."""

    def __init__(self, url: str, timeout_seconds: int = 20) -> None:
        parts = urlsplit(url)
        self._shown = f"{parts.scheme}://{parts.hostname}{':' + str(parts.port) if parts.port else ''}"
        self._target, self._timeout = url, timeout_seconds
        self._mine = threading.local()
        self._sessions: list[Session] = []
        self._ids = itertools.count(1)

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
        return found

    def request(self, method: str, params: Sequence[Any]) -> Any:
        """The `result` of a call. Raises Unavailable, RangeTooLarge, Conflict (a call that reverts) or Untrusted."""
        number = next(self._ids)
        body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})
        try:
            answer = orjson.loads(self._provider()._make_request(RPCEndpoint(method), body))
        except HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status == 413:
                raise RangeTooLarge(f"{self.url} finds the request too large") from None
            raise Unavailable(f"{self.url} answered {status} to {method}") from None
        except (RequestException, NoConnection) as error:
            raise Unavailable(f"{self.url} does not answer: {type(error).__name__}") from None
        except orjson.JSONDecodeError:
            raise Untrusted(f"{self.url} answered {method} with something that is no JSON") from None
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
        if method == "eth_call" and (detail.get("code") == 3 or "revert" in words):
            return Conflict(f"the call reverts: {message}")
        if any(word in words for word in _RATE):
            return Unavailable(f"{self.url} limits the rate of requests: {message}")
        if method == "eth_getLogs" and any(word in words for word in _TOO_LARGE):
            return RangeTooLarge(f"{self.url}: {message}")
        return Unavailable(f"{self.url} refused {method}: {message}")

    def chain_id(self) -> int:
        return quantity(self.request("eth_chainId", []))

    def block(self, which: int | str) -> Block | None:
        tag = hex(which) if isinstance(which, int) else which
        raw = self.request("eth_getBlockByNumber", [tag, False])
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
        wanted: dict[str, Any] = {"address": list(tokens), "topics": [TRANSFER_TOPIC, *topics]}
        if block_hash is not None:
            wanted["blockHash"] = block_hash
        else:
            assert span is not None
            wanted |= {"fromBlock": hex(span[0]), "toBlock": hex(span[1])}
        raw = self.request("eth_getLogs", [wanted])
        if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
            raise Untrusted(f"{self.url} answered eth_getLogs with something that is no list of logs")
        return raw

    def call(self, to: Address, data: bytes, block: int | str = "latest") -> bytes:
        tag = hex(block) if isinstance(block, int) else block
        return self._bytes(self.request("eth_call", [{"to": to, "data": "0x" + data.hex()}, tag]))

    def code(self, address: Address) -> bytes:
        return self._bytes(self.request("eth_getCode", [address, "latest"]))

    def _bytes(self, text: Any) -> bytes:
        try:
            return bytes.fromhex(text[2:])
        except (TypeError, ValueError):
            raise Untrusted(f"{self.url} answered with something that is no hex") from None
