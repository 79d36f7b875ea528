"""Sends one notice to one URL, signed by the Standard Webhooks scheme."""

from datetime import datetime
from typing import Final

import httpx
from standardwebhooks import Webhook

from billing.core.period import epoch_seconds
from billing.notices.notice import Answer, DeliveryState
from billing.notices.store import Claimed

TIMEOUT_SECONDS: Final = 10
_GONE: Final = 410


class WebhookReceiver:
    """A URL that is told what happened. It is never named in an answer: it may hold a token."""

    def __init__(self, name: str, url: str, secrets: list[str]) -> None:
        """`secrets` sign each body, all of them: so one can be replaced while the receiver still knows the other."""
        self.name, self._url = name, url
        self._signers = [Webhook(secret) for secret in secrets]
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False)

    def send(self, one: Claimed, now: datetime) -> Answer:
        """Never raises for what the other side does. Its answer's body is not read."""
        try:
            with self._client.stream(
                "POST", self._url, content=one.content, headers=self._headers(one, now)
            ) as response:
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(None, f"cannot be reached: {type(error).__name__}", reached=False)
        if 200 <= status < 300:
            return Answer(DeliveryState.DELIVERED, f"answered {status}")
        return Answer(DeliveryState.DEAD if status == _GONE else None, f"answered {status}")

    def _headers(self, one: Claimed, now: datetime) -> dict[str, str]:
        body = one.content.decode()
        return {
            "content-type": "application/json",
            "user-agent": "stablemeter",
            "webhook-id": one.message_id,
            "webhook-timestamp": str(epoch_seconds(now)),
            "webhook-signature": " ".join(signer.sign(one.message_id, now, body) for signer in self._signers),
        }

    def close(self) -> None:
        self._client.close()
