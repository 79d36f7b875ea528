"""The payer's pages in other languages: every sentence is there, every digit too, and what is to be paid never changes."""

import ast
import re
from decimal import Decimal
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from hypothesis import given
from hypothesis import strategies as st

from billing.bootstrap import App
from billing.core.money import Asset, decimal_text
from billing.web.app import create_app
from billing.web.languages import ENGLISH, HEADER_MAX, Languages, wishes
from billing.web.render import Pages
from tests.house import messages
from tests.web.client import Client
from tests.web.scene import Scene
from tests.web.test_pay import Page

LANGUAGES = Languages()
FRENCH = LANGUAGES.choose("fr", "").words
PLACE = re.compile(r"%\(\w+\)s|\{\w+\}")
TAG = re.compile(r"</?[a-z]+")
BREAK = "\u00a0\u202f"


@pytest.fixture
def anybody(app: App) -> Client:
    return Client(create_app(app))


def forms(message: object) -> list[str]:
    return [str(one) for one in message] if isinstance(message, tuple | list) else [str(message)]


@pytest.mark.parametrize(
    ("path", "catalogue"), messages.catalogues().items(), ids=lambda one: str(getattr(one, "name", ""))
)
def test_a_catalogue_has_every_sentence_and_no_other(path: Path, catalogue: Catalog) -> None:
    wanted, found = ({str(one.id) for one in some if one.id} for some in (messages.extracted(), catalogue))
    assert found == wanted, "`make messages` brings the catalogues up to date; then translate what is empty"
    for one in catalogue:
        if one.id:
            assert all(forms(one.string)) and not one.fuzzy, f"{one.id} is not translated"
            for said in forms(one.string):
                places = [set(PLACE.findall(form)) for form in forms(one.id)]
                assert set(PLACE.findall(said)) in places, f"{one.id} has other placeholders"
                assert TAG.findall(said) == TAG.findall(forms(one.id)[-1]), f"{one.id} has other tags"
    assert path.read_bytes() == messages.written(catalogue), "`make messages` writes it in this way"


def test_what_python_says_is_extracted() -> None:
    """A sentence that is put into another string is not seen by the extractor."""
    known = {form for one in messages.extracted() if one.id for form in forms(one.id)}
    for path in sorted((messages.WEB / "pages").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name == "say" or (name == "count" and len(node.args) == 3):
                    told = node.args[0]
                    assert isinstance(told, ast.Constant) and told.value in known, f"{path.name}:{node.lineno}"


def test_french_has_its_spaces_before_tall_punctuation() -> None:
    for catalogue in messages.catalogues().values():
        if str(catalogue.locale) == "fr":
            for one in catalogue:
                for said in forms(one.string) if one.id else []:
                    text = re.sub(r"<[^>]*>|\{\w+\}", "x", said)
                    assert not re.search(rf"[^{BREAK}][;?!»]|[^{BREAK}]:|« ", text), said


@given(st.integers(-(10**30), 10**60), st.integers(0, 30))
def test_a_number_keeps_every_digit(units: int, exponent: int) -> None:
    text = decimal_text(units, exponent)
    shown = FRENCH.number(text)
    assert shown.replace("\u202f", "").replace(",", ".") == text
    assert Decimal(shown.replace("\u202f", "").replace(",", ".")) == Decimal(text)
    assert (
        FRENCH.money(units, Asset("USD", 2)).replace("\u202f", "").replace(",", ".")
        == f"{decimal_text(units, 2)}\u00a0USD"
    )


def test_french_writes_figures_and_times_in_its_way() -> None:
    assert FRENCH.money(123_456_789, Asset("USD", 2)) == "1\u202f234\u202f567,89\u00a0USD"
    assert FRENCH.percent("0.9987") == "99,87\u00a0%" and FRENCH.tax_rate("0.055") == "5,5\u00a0%"
    assert FRENCH.day("2026-11-14T00:00:00Z") == "14 novembre 2026"
    assert FRENCH.moment("2026-11-14T09:05:01Z") == "14 nov. 2026, 09:05:01\u00a0UTC"
    assert FRENCH.period("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z") == "octobre 2026"
    assert [FRENCH.duration(seconds) for seconds in (1, 24, 7200)] == ["1 seconde", "24 secondes", "2 heures"]
    assert FRENCH.count("%(number)s confirmation", "%(number)s confirmations", 0) == "0 confirmation"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("fr", "fr"),
        ("fr-CA,en;q=0.8", "fr"),
        ("en;q=0.5, fr;q=0.9", "fr"),
        ("de, fr;q=0.4, en;q=0.3", "fr"),
        ("fr;q=0", "en"),
        ("*, fr;q=0.5", "en"),
        ("fr;q=2", "en"),
        ("fr;q=x, \x00, ;;, =", "en"),
        ("x" * HEADER_MAX + ",fr", "en"),
    ],
)
def test_the_browser_s_wish_is_heard(header: str, code: str) -> None:
    assert LANGUAGES.choose("", header).words.code == code
    assert LANGUAGES.choose("en", header).words is ENGLISH, "the address is stronger"
    assert LANGUAGES.choose("../../etc", header).words.code == code, "a language that is not there is not asked for"


@given(st.text())
def test_no_header_is_trouble(header: str) -> None:
    assert all(re.fullmatch(r"[a-z]{2,8}", one) for one in wishes(header))


def test_the_page_is_french_and_what_is_to_be_paid_is_the_same(scene: Scene, anybody: Client) -> None:
    scene.meter("acme", hours=700)
    (invoice,) = scene.issue()
    path = f"/pay/{invoice.pay_token}"
    english, french = anybody.get(path), anybody.get(f"{path}?lang=fr")
    assert english.headers["vary"] == french.headers["vary"] == "Accept-Language"
    one, other = Page(english.text), Page(french.text)
    assert one.all("html")[0]["lang"] == "en" and other.all("html")[0] == {"lang": "fr", "dir": "ltr"}
    assert "En attente de paiement" in other.text and "À payer 1 400,00 USD" in other.text
    copied = [[button["data-copy"] for button in page.all("button") if "data-copy" in button] for page in (one, other)]
    assert copied[0] == copied[1] and copied[0][0] == "1400.00"
    assert [link["href"] for link in one.all("a") if link.get("id") == "open-wallet"] == [
        link["href"] for link in other.all("a") if link.get("id") == "open-wallet"
    ]
    assert other.all("main")[0]["data-status"] == f"{path}/status?lang=fr"
    assert one.all("main")[0]["data-version"] == other.all("main")[0]["data-version"]
    assert all("lang=fr" in link["href"] for link in other.all("a") if link.get("id", "").startswith("choice-"))
    assert anybody.get(f"{path}/status?lang=fr").json()["headline"] == "En attente de paiement"
    assert anybody.get(path, headers={"Accept-Language": "fr-CH"}).text.count('lang="fr"') >= 2
    assert anybody.get(f"{path}/document?lang=fr").content == anybody.get(f"{path}/document").content
    assert "Facture introuvable" in anybody.get(f"/pay/{'x' * 43}?lang=fr").text


def test_a_language_from_right_to_left_needs_only_its_catalogue(
    scene: Scene, anybody: Client, app: App, tmp_path: Path
) -> None:
    scene.meter("acme")
    (invoice,) = scene.issue()
    (catalogue,) = (one for one in messages.catalogues().values() if str(one.locale) == "fr")
    folder = tmp_path / "ar" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "pages.po").write_bytes(messages.written(catalogue).replace(b'"Language: fr', b'"Language: ar'))
    api = create_app(app)
    api.state.wired.pages = Pages(Languages(tmp_path))
    page = Page(Client(api).get(f"/pay/{invoice.pay_token}?lang=ar").text)
    assert page.all("html")[0] == {"lang": "ar", "dir": "rtl"}
    assert "العربية" in page.text and "English" in page.text
