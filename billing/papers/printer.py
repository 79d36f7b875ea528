"""Prints documents as PDF. It is slow work: few at a time, a short queue, and what was printed lately is kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import orjson
import typst

from billing.core.errors import Unavailable
from billing.core.keccak import keccak256
from billing.core.onchain import Hash32, to_hash
from billing.invoicing import document as documents
from billing.papers import paper

AT_ONCE: Final = 1
WAITING_MAX: Final = 8
KEPT: Final = 32
KEPT_BYTES_MAX: Final = 2 << 20
LAYOUT: Final = "1"
"""Another layout gives other bytes for the same document: what others keep is of a layout."""
LAYOUTS: Final = ("style.typ", "paper.typ", "owner.typ")


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is printed, and the file that is attached to it. `layout` is the name of a file beside this one."""

    layout: str
    content: Mapping[str, Any]
    attached: bytes


class Printer:
    """`fonts` are directories with more fonts, for writing that the built-in ones do not have."""

    def __init__(self, fonts: Sequence[Path] = ()) -> None:
        here = resources.files("billing.papers")
        self._layouts = {name: here.joinpath(name).read_bytes() for name in LAYOUTS}
        self._fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(one) for one in fonts])
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._queue = threading.BoundedSemaphore(AT_ONCE + WAITING_MAX)
        self._kept: OrderedDict[Hash32, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def pdf(self, document: bytes) -> bytes:
        """The paper of a document: always the same bytes. Raises Invalid for bytes that are no document, Unavailable when too
        many are waiting."""
        return self._printed(documents.digest(document), lambda: Sheet("paper.typ", paper.content(document), document))

    def sheet(self, sheet: Sheet) -> bytes:
        """The paper of anything else. Raises Unavailable when too many are waiting."""
        told = orjson.dumps([sheet.layout, sheet.content], option=orjson.OPT_SORT_KEYS)
        return self._printed(to_hash(keccak256(told + sheet.attached)), lambda: sheet)

    def _printed(self, digest: Hash32, make: Callable[[], Sheet]) -> bytes:
        with self._lock:
            known = self._kept.get(digest)
        if known is not None:
            return known
        if not self._queue.acquire(blocking=False):
            raise Unavailable("many papers are being printed", remedy="ask again in some seconds")
        try:
            with self._turn:
                printed = self._print(make())
        finally:
            self._queue.release()
        with self._lock:
            if len(printed) <= KEPT_BYTES_MAX:
                self._kept[digest] = printed
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return printed

    def _print(self, sheet: Sheet) -> bytes:
        given = {"paper": orjson.dumps(sheet.content).decode(), "document": sheet.attached.decode()}
        layout = self._layouts["style.typ"] + self._layouts[sheet.layout]
        compiler = typst.Compiler(layout, font_paths=self._fonts, ignore_system_fonts=True)
        try:
            made = compiler.compile(format="pdf", sys_inputs=given)
        except typst.TypstError as error:
            raise Unavailable(f"the paper could not be printed: {error.message}") from None
        assert isinstance(made, bytes)
        return made
