"""What surrounds the pages: the content policy, the badge, the sidebar."""

import pytest

from billing_project import console
from tests.billing.admin.conftest import permit
from tests.staff import logged_in_by_form


def policy(response):
    return response.headers["Content-Security-Policy"]


def test_only_the_console_may_evaluate_and_only_it_has_inline_styles(boss, client):
    for page in (boss.get("/admin/"), client.get("/admin/login/")):
        assert "script-src 'self' 'unsafe-eval'" in policy(page)
        assert "'unsafe-inline'" in policy(page)
        assert "default-src 'self'" in policy(page)
        assert "frame-ancestors 'none'" in policy(page)
    for address in ("/api/docs/", "/api/nothing", "/healthz", "/nothing", "/webhooks/stripe/"):
        assert "unsafe" not in policy(client.get(address))
        assert "default-src 'self'" in policy(client.get(address))


def test_the_style_of_the_api_page_is_allowed_by_its_nonce_alone(client):
    page = client.get("/api/docs/")
    nonce = policy(page).split("'nonce-")[1].split("'")[0]
    assert f'<style nonce="{nonce}">' in page.content.decode()
    assert nonce not in policy(client.get("/api/docs/"))


@pytest.mark.parametrize(
    ("base", "key", "badge"),
    [
        ("http://127.0.0.1:9", "sk_test_x", "Stripe stand-in"),
        ("https://api.stripe.com", "sk_test_x", "Test mode"),
        ("https://api.stripe.com", "rk_live_x", "Live"),
    ],
)
def test_the_badge_says_whether_money_is_real(base, key, badge, settings, rf):
    settings.STRIPE_API_BASE, settings.STRIPE_API_KEY = base, key
    assert console.environment(rf.get("/admin/"))[0] == badge


def test_the_sidebar_shows_what_the_user_may_open(clerk):
    permit("clerk", "view_invoice")
    page = clerk.get("/admin/").content.decode()
    assert "/admin/billing/invoice/" in page
    assert "/admin/offices/office/" not in page


def test_every_entry_of_the_sidebar_opens(boss):
    for group in console.NAVIGATION:
        for entry in group["items"]:
            assert boss.get(str(entry["link"])).status_code == 200


def test_a_stranger_is_sent_to_the_login(client, db):
    answer = client.get("/admin/billing/invoice/")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")


def test_a_log_in_leads_to_the_first_page(boss):
    assert logged_in_by_form("boss").get("/admin/").status_code == 200


def test_the_addresses_of_the_sidebar_are_resolved_once_for_all_pages(boss):
    console._links.cache_clear()
    for _ in range(2):
        assert boss.get("/admin/").status_code == 200
    assert console._links.cache_info().misses == 1


def test_whoever_goes_by_keyboard_may_skip_the_menu(boss):
    page = boss.get("/admin/billing/invoice/").content.decode()
    assert page.index('href="#main"') < page.index("/admin/billing/lineitem/") < page.index('id="main"')
