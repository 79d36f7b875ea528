"""A lease of one GPU."""

from dataclasses import dataclass

from billing.core.period import Seconds, Span


@dataclass(frozen=True, slots=True)
class Lease:
    """`reference` is the contract's name; it groups the GPUs that were let together."""

    id: int
    reference: str
    tenant: str
    tenant_id: int
    gpu_id: int
    uuid: str
    host: str
    span: Span

    @property
    def seconds(self) -> Seconds:
        return self.span.seconds
