"""Work behind sign-in by keyboard alone: no test here touches a pointer."""

import re

from playwright.sync_api import Page, expect

from billing.tenants.keys import KeyRole
from tests.browser.conftest import Open
from tests.browser.desks import Desks
from tests.browser.serving import Tab

STEPS_MAX = 60


def reach(page: Page, selector: str) -> None:
    """Press Tab until the focus is there, and can be seen."""
    for _ in range(STEPS_MAX):
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nobody sees that the focus is on {selector}"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")


def enter(tab: Tab, behind: Desks, role: KeyRole) -> None:
    tab.open(behind.link(role))
    reach(tab.page, "main button")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("button", name="Sign out")).to_be_visible()


def follow(page: Page, selector: str) -> None:
    """Open what a link leads to."""
    reach(page, selector)
    before = page.url
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != before)


def test_finance_resolves_an_exception_with_one_keystroke(behind: Desks, open_tab: Open) -> None:
    tab = open_tab(behind.base)
    enter(tab, behind, KeyRole.FINANCE)
    page = tab.page
    follow(page, '.nav a[href="/finance/exceptions"]')
    expect(page.locator("tbody tr").first.locator("a").first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/finance/exceptions/\d+$"))
    number = page.url.rpartition("/")[2]
    expect(page.locator(".offers button").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text(f"Exception {number}")
    tab.open(f"/finance/exceptions/{number}")
    expect(page.locator("main")).to_contain_text("by web:Ada")
    assert tab.errors == []


def test_an_operator_ends_a_lease_with_a_reason(behind: Desks, open_tab: Open) -> None:
    tab = open_tab(behind.base)
    enter(tab, behind, KeyRole.OPERATOR)
    page = tab.page
    follow(page, '.nav a[href="/operations/leases"]')
    reach(page, "#f-tenant")
    page.keyboard.type("zeta")
    page.keyboard.press("Enter")
    page.wait_for_url("**tenant=zeta*")
    follow(page, 'tbody a[href^="/operations/leases/"]')
    reach(page, "#f-reason")
    page.keyboard.type("moved out")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("main")).to_contain_text("moved out")
    expect(page.get_by_role("button", name="End the lease")).to_have_count(0)
    assert tab.errors == []


def test_a_tenant_makes_an_api_key_and_revokes_it(behind: Desks, open_tab: Open) -> None:
    tab = open_tab(behind.base)
    enter(tab, behind, KeyRole.TENANT)
    page = tab.page
    follow(page, '.nav a[href="/portal/keys"]')
    reach(page, "#f-name")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    secret = page.locator(".secret").inner_text()
    assert secret.startswith("smk_")
    reach(page, 'main p a[href="/portal/keys"]')
    page.keyboard.press("Enter")
    row = page.get_by_role("row", name="by keyboard")
    expect(row).to_contain_text("never")
    prefix = secret[4:12]
    reach(page, f'form[action="/portal/keys/{prefix}/revoke"] button')
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("works no more")
    expect(row).to_contain_text("revoked")
    assert tab.errors == []
