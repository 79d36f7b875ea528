"""`make states`: writes the diagrams of all lifecycles into ARCHITECTURE.md, between their marks."""

import re
import sys
from pathlib import Path
from typing import Any

from billing.chain.lifecycle import TRANSFER
from billing.core.machine import Machine
from billing.invoicing.lifecycle import INVOICE
from billing.reconciliation.lifecycle import PAYMENT

PAGE = Path(__file__).parents[2] / "ARCHITECTURE.md"
MACHINES: dict[str, Machine[Any, Any]] = {"invoice": INVOICE, "transfer": TRANSFER, "payment": PAYMENT}


def rendered(page: str) -> str:
    """The page with every diagram as the tables are now."""
    for name, machine in MACHINES.items():
        diagram = f"<!-- states:{name} -->\n```mermaid\n{machine.mermaid()}\n```\n<!-- end -->"
        page, count = re.subn(
            rf"<!-- states:{name} -->.*?<!-- end -->", diagram.replace("\\", r"\\"), page, flags=re.DOTALL
        )
        assert count == 1, f"ARCHITECTURE.md has no place for the {name} diagram"
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
    sys.stdout.write(f"wrote {PAGE.name}\n")
