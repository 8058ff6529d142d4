"""Each key and secret is replaced while everybody works on, as docs/operations/rotation.md says, step by step."""

import re
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.utils import timezone

from audit.chain import verify, verify_trail
from audit.checkpoints import make_checkpoint
from billing.admin.roles import Role
from billing.delivery import deliver_due
from billing.models import MessageStatus, OutboxMessage
from offices.models import OfficeStripeAccount
from sandbox.stripe_standin import StripeStandIn
from tests.audit.conftest import NOW, tell
from tests.billing.scenes import close_month
from tests.billing.test_webhook import event, post
from tests.offices.rotation_scene import full_office
from tests.staff import logged_in, member

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).resolve().parent.parent / "docs/operations/rotation.md"
OLD, NEW = "the-older-key-of-enough-length-0123456789", "the-newer-key-of-enough-length-0123456789"


def test_secret_key(settings):
    """Sessions move over with their next request; one that slept through it logs in again."""
    settings.SECRET_KEY = OLD
    awake, asleep = (logged_in(member(name, Role.OPERATOR)) for name in ("jo.awake", "jo.asleep"))
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert awake.get("/admin/").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert awake.get("/admin/").status_code == 200
    assert asleep.get("/admin/").status_code == 302


@pytest.mark.parametrize("name", ["FIELD_ENCRYPTION_KEYS", "BLIND_INDEX_KEYS"])
def test_field_encryption_keys_and_blind_index_keys(settings, name, capsys):
    def rotated() -> int:
        call_command("rotate_field_keys", "--json")
        return int(re.search(r'"rewritten": ?(\d+)', capsys.readouterr().out)[1])

    setattr(settings, name, [OLD])
    customer = OfficeStripeAccount.objects.get(office=full_office()).customer_id
    for step in ([OLD, NEW], [NEW, OLD]):
        setattr(settings, name, step)
        assert OfficeStripeAccount.objects.get().customer_id == customer
    assert rotated() > 0
    assert rotated() == 0
    setattr(settings, name, [NEW])
    assert OfficeStripeAccount.objects.get().customer_id == customer
    assert rotated() == 0


def test_audit_keys(settings):
    settings.AUDIT_KEYS = [OLD]
    tell("office:clinic-1", "a.opened")
    settings.AUDIT_KEYS = [NEW, OLD]
    tell("office:clinic-1", "b.changed")
    assert verify() == (2, [])
    settings.AUDIT_KEYS = [NEW]  # never: an old key is needed as long as its entries are
    assert [each.code for each in verify()[1]] == ["key_unknown"]


def test_audit_signing_key(settings):
    settings.AUDIT_SIGNING_KEY = [OLD]
    tell("office:clinic-1", "a.opened")
    make_checkpoint(now=NOW)
    settings.AUDIT_SIGNING_KEY = [NEW, OLD]
    tell("office:clinic-1", "b.changed")
    make_checkpoint(now=NOW)
    assert verify_trail().breaks == []
    settings.AUDIT_SIGNING_KEY = [NEW]
    assert [each.code for each in verify_trail().breaks] == ["signing_key_unknown"]


def test_stripe_webhook_secrets(settings):
    settings.STRIPE_WEBHOOK_SECRETS = [OLD]
    assert post(event(id="evt_1"), secret=OLD).status_code == 200
    settings.STRIPE_WEBHOOK_SECRETS = [NEW, OLD]
    assert [post(event(id=f"evt_{secret[4:9]}"), secret=secret).status_code for secret in (OLD, NEW)] == [200, 200]
    settings.STRIPE_WEBHOOK_SECRETS = [NEW]
    assert [post(event(id="evt_3"), secret=secret).status_code for secret in (OLD, NEW)] == [400, 200]


def test_stripe_api_key(settings):
    """Both keys work until the old one is revoked; who still has it then loses nothing: what it tried waits."""
    with StripeStandIn(api_keys={"sk_test_newer"}) as stripe:
        settings.STRIPE_API_BASE, settings.STRIPE_API_KEY = stripe.base_url, "sk_test_older"
        cache.clear()
        close_month()
        assert deliver_due(clock=timezone.now).not_authorized
        assert {message.status for message in OutboxMessage.objects.all()} <= {MessageStatus.PENDING}
        settings.STRIPE_API_KEY = "sk_test_newer"
        OutboxMessage.objects.update(next_attempt_at=timezone.now())
        deliver_due(clock=timezone.now)
        assert [invoice["status"] for invoice in stripe.objects("invoice")] == ["open"]


def test_the_page_has_a_procedure_for_each_drill():
    titles = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for title in titles for name in re.findall(r"`([A-Z_]+)`", title)}
    drilled = {name.upper() for drill in globals() if drill.startswith("test_") for name in drill[5:].split("_and_")}
    assert named == drilled - {"THE_PAGE_HAS_A_PROCEDURE_FOR_EACH_DRILL"}
