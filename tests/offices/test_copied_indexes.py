"""A digest that stands in another table without its value follows the rotation of the index it was copied from."""

import pytest
from django.apps import apps

from billing.customers import customer_digests
from billing.models import ReconciliationRun, StripeCustomerCopy, StripeInvoiceCopy, StripeMoneyCopy
from offices.models import OfficeStripeAccount
from patients.identity_rotation import rotate_field_keys
from tests.builders import ACTOR
from tests.offices.rotation_scene import NEW, NOW, OLD, full_office, use_keys

pytestmark = pytest.mark.django_db

COPIES = (StripeInvoiceCopy, StripeMoneyCopy, StripeCustomerCopy)


def show(digest: str) -> None:
    """What Stripe showed of a customer: an invoice, a payment, and the customer itself."""
    run = ReconciliationRun.objects.create(actor=ACTOR, window_from=NOW, window_until=NOW, started_at=NOW)
    StripeInvoiceCopy.objects.create(
        stripe_invoice_id=f"in_{digest[:8]}", run=run, customer_index=digest, status="paid", currency="USD",
        total_cents=400, amount_paid_cents=400, amount_remaining_cents=0, created=NOW, seen_at=NOW,
    )  # fmt: skip
    StripeMoneyCopy.objects.create(
        stripe_id=f"re_{digest[:8]}", run=run, kind="refund", customer_index=digest, amount_cents=1, seen_at=NOW
    )
    StripeCustomerCopy.objects.create(customer_index=digest, run=run, balance_cents=0, seen_at=NOW)


def rotate() -> None:
    rotate_field_keys(actor=ACTOR, now=NOW, progress=lambda _done, _total: None)


def digests(copy) -> set[str]:
    return set(copy.objects.values_list("customer_index", flat=True))


@pytest.mark.parametrize("copy", COPIES)
def test_the_office_of_what_stripe_showed_is_found_after_a_rotation(settings, copy):
    use_keys(settings, OLD)
    accounts = [OfficeStripeAccount.objects.get(office=full_office(patients=0, invoices=0)) for _ in range(2)]
    for account in accounts:
        show(account.customer_index)
    show("c" * 64)  # of a customer that is nobody's
    use_keys(settings, NEW, OLD)
    rotate()

    now_known = set(OfficeStripeAccount.objects.values_list("customer_index", flat=True))
    assert now_known.isdisjoint(account.customer_index for account in accounts)
    assert digests(copy) == {*now_known, "c" * 64}


def test_a_customer_that_was_listed_again_meanwhile_is_no_clash(settings):
    use_keys(settings, OLD)
    account = OfficeStripeAccount.objects.get(office=full_office(patients=0, invoices=0))
    show(account.customer_index)
    use_keys(settings, NEW, OLD)
    show(new_index(account))
    rotate()
    assert new_index(account) in digests(StripeCustomerCopy)
    assert digests(StripeInvoiceCopy) == {new_index(account)}


def new_index(account: OfficeStripeAccount) -> str:
    return customer_digests(account.customer_id)[0]


def test_every_index_without_a_key_of_its_own_says_what_it_is_a_copy_of():
    copied = {
        f"{model._meta.label_lower}.{name}"
        for model in apps.get_models()
        for name in getattr(model, "COPIED_INDEXES", {})
    }
    bare = {
        f"{model._meta.label_lower}.{column.name}"
        for model in apps.get_models()
        for column in model._meta.local_concrete_fields
        if column.name.endswith("_index") and not hasattr(model, f"{column.name}_key")
    }
    assert copied
    assert bare == copied
