"""Every message of the payer's pages, and the catalogues' files. `python -m tests.house.messages` writes them anew."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from billing.web.languages import LOCALES

WEB = LOCALES.parent
KEYWORDS: dict[str, Any] = {
    "say": None,
    "marked": None,
    "count": (1, 2),
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
}
OPTIONS = {
    "trimmed": "true",
    "newstyle_gettext": "true",
    "silent": "false",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
}


def sources() -> Iterator[tuple[Path, str, dict[str, str]]]:
    """(file, Babel's method, its options) of whatever has words for a payer."""
    for path in sorted([*(WEB / "pages").glob("*.py"), WEB / "languages.py", WEB / "render.py"]):
        yield path, "python", {}
    for path in sorted([*(WEB / "templates").glob("pay*.html"), WEB / "templates" / "trouble.html"]):
        yield path, "jinja2.ext:babel_extract", OPTIONS


def extracted() -> Catalog:
    """The messages that pages may say."""
    found = Catalog()
    for path, method, options in sources():
        with path.open("rb") as source:
            for _, message, _, _ in extract(method, source, KEYWORDS, options=options):
                found.add(message, locations=[(path.relative_to(WEB).as_posix(), 0)])
    return found


def catalogues() -> dict[Path, Catalog]:
    found = {}
    for path in sorted(LOCALES.glob("*/LC_MESSAGES/pages.po")):
        with path.open("rb") as source:
            found[path] = read_po(source, locale=path.parts[-3])
    return found


def written(catalogue: Catalog) -> bytes:
    content = io.BytesIO()
    write_po(
        content, catalogue, width=120, sort_output=True, ignore_obsolete=True, omit_header=True, include_lineno=False
    )
    head = (
        'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Language: {catalogue.locale}\\n"\n"Plural-Forms: {catalogue.plural_forms}\\n"\n\n'
    )
    return head.encode() + content.getvalue()


def main() -> None:
    """Every catalogue with the messages of today: new ones wait for their words, unused ones are gone."""
    for path, catalogue in catalogues().items():
        catalogue.update(extracted(), no_fuzzy_matching=True)
        path.write_bytes(written(catalogue))


if __name__ == "__main__":
    main()
