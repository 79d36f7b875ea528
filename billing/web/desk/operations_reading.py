"""What the overview looks at, and what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.chain.watcher import Chain
from billing.metering.conservation import Category


@dataclass(frozen=True, slots=True)
class Trouble:
    """`tone` is stop (money or time is being lost, or may be) or care. `href` leads to what is behind it."""

    tone: str
    what: str
    do: str
    href: str


@dataclass(slots=True)
class Reading:
    """What the rules look at. `checks` are what can be tried cheaply: {what: why it failed, or nothing}."""

    now: datetime
    sources: Sequence[Mapping[str, Any]] = ()
    day: datetime | None = None
    seconds: Mapping[Category, int] = field(default_factory=dict)
    unstored: Sequence[datetime] = ()
    chains: Sequence[Mapping[str, Any]] = ()
    configured: Mapping[int, Chain] = field(default_factory=dict)
    jobs: Sequence[Mapping[str, Any]] = ()
    receivers: Sequence[Mapping[str, Any]] = ()
    audited_at: datetime | None = None
    findings: int = 0
    skipped: int = 0
    proposed: int = 0
    exceptions: int = 0
    unsettled: int = 0
    stale_lists: Sequence[str] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
