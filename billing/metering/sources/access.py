"""How a source proves who it is, and how it knows the server: credentials, headers, certificates."""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from billing.core.errors import Invalid

MESSAGE_CHARS_MAX = 200


@dataclass(frozen=True)
class Access:
    """Where the server is and who asks. Secrets are in no repr and no message."""

    url: str = ""
    backend: str = "prometheus"
    username: str = ""
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str = ""
    client_cert_file: str = ""
    client_key_file: str = ""
    timeout_seconds: int = 120

    @cached_property
    def sent(self) -> dict[str, str]:
        """The headers of every request."""
        headers = dict(self.headers)
        if self.bearer_token:
            headers["Authorization"] = f"Bearer {self.bearer_token}"
        if self.username:
            headers["Authorization"] = f"Basic {self._basic}"
        return headers

    @cached_property
    def _basic(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @cached_property
    def _secrets(self) -> list[str]:
        """What a message must not repeat, the longest first."""
        found = {self.password, self.bearer_token, self._basic if self.password else "", *self.headers.values()}
        return sorted((one for one in found if len(one) >= 4), key=len, reverse=True)

    def clean(self, text: str) -> str:
        """A server's words, on one line, without what it was told in confidence."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:MESSAGE_CHARS_MAX]

    def trust(self, name: str) -> ssl.SSLContext:
        """Whom source `name` trusts. Raises Invalid for a certificate file that cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.client_cert_file:
                context.load_cert_chain(self.client_cert_file, self.client_key_file or None)
        except OSError as error:  # ssl's errors are among them
            reason = error.strerror or error.args[-1]
            raise Invalid(f"source {name}: its certificate files cannot be used: {reason}") from None
        return context
