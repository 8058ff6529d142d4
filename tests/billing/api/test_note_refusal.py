"""A note that looks like patient data is refused over the API too, with a way to let it stand."""

import pytest

from billing.models import Invoice

LEAK = "patient John Smith, dob 3/4/1961"


@pytest.mark.parametrize("path", ["billing/charges/one-off", "billing/invoices"])
def test_a_note_that_looks_like_patient_data_is_a_conflict_until_a_reason_is_given(portal, path):
    body = {"office_id": str(portal.office.pk), "reason": "hardware", "amount": "125.00", "note": LEAK}
    body |= {"invoice_type": "one_off"} if path == "billing/invoices" else {}

    refused = portal.post(path, body)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "note_looks_like_patient_data")
    assert "Smith" not in refused.content.decode()
    assert not Invoice.objects.exists()

    assert portal.post(path, body | {"note_override_reason": "the owner's own file"}).status_code == 201
    assert Invoice.objects.get().internal_note == f"{LEAK}\n\n[override: the owner's own file]"


def test_a_monthly_invoice_takes_no_override_either(portal):
    body = {"office_id": str(portal.office.pk), "invoice_type": "monthly", "note_override_reason": "why"}
    assert portal.post("billing/invoices", body).status_code == 400
