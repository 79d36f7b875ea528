"""A finding: something that must not be, and is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names the invariant, `subject` the thing, `detail` the difference."""

    check: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.detail}"
