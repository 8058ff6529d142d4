"""Words typed at Stripe are judged for the office whose invoice it is; what is kept are places and codes."""

import json

import pytest

from billing.models import Discrepancy, StripeInvoiceCopy
from billing.models import DiscrepancyKind as Kind
from billing.reconciliation.words import judge_words
from billing.stripe_gateway.foreign_words import judged_by
from billing.stripe_gateway.outbound_values import StripeId
from tests.billing.reconciliation.plants import line_of

SECRET = "SSN 123-45-6789, DOB 1980-01-02"


def codes() -> list[str]:
    return json.loads(Discrepancy.objects.get().theirs).get("codes", [])


def test_words_that_look_like_patient_data_are_told_by_codes_and_never_kept(scene):
    invoice = scene.sent()
    scene.stripe.dashboard.edit("invoice", invoice.stripe_invoice_id, footer=SECRET)
    scene.reconcile()
    assert Discrepancy.objects.get().kind == Kind.TEXT_CHANGED
    assert codes()
    assert "6789" not in str([*StripeInvoiceCopy.objects.values(), *Discrepancy.objects.values()])


@pytest.mark.parametrize("place", ["custom_fields", "line"])
def test_words_are_judged_wherever_they_stand(scene, place):
    invoice = scene.sent()
    if place == "line":
        scene.stripe.dashboard.tamper("line_item", line_of(scene, invoice)["id"], description=SECRET)
    else:
        fields = [{"name": "note", "value": SECRET}]
        scene.stripe.dashboard.tamper("invoice", invoice.stripe_invoice_id, custom_fields=fields)
    scene.reconcile()
    assert codes()


def test_harmless_words_have_no_code(scene):
    scene.stripe.dashboard.edit("invoice", scene.sent().stripe_invoice_id, footer="Thank you")
    scene.reconcile()
    assert codes() == []


def test_without_a_judge_no_word_is_looked_at(scene):
    seen = []
    with judged_by(lambda _customer, words: seen.append(words) or ()):
        pass
    scene.stripe.dashboard.edit("invoice", scene.sent().stripe_invoice_id, footer=SECRET)
    scene.reconcile()
    assert seen == []


def test_of_a_stranger_nobody_is_known(db):
    assert judge_words(StripeId("cus_stranger"), SECRET) == ()
