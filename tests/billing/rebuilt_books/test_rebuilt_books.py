"""What the log tells is what the tables hold; any row changed past the use cases is found and typed."""

import json
from datetime import date, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.models import AuditEntry
from billing.billed_usage import usage_differences
from billing.models import BillingCycle, Discrepancy, Invoice, LineItem, ReconciliationRun
from billing.office_terms import change_zone
from billing.rebuilt_books.check import books_at, check_books, keep_findings
from offices.locking import OfficeNotFound
from offices.models import Office, OfficePlan, OfficeStatusChange, OfficeStripeAccount, OfficeZone, Plan, PriceOverride
from patients.models import ActivityPeriod
from tests.builders import ACTOR, make_patient, utc
from tests.tampering import drop_unique, lift_rules

pytestmark = pytest.mark.django_db

EVERY_TABLE = (
    "billing_invoice", "billing_lineitem", "billing_billingcycle", "audit_auditentry", "patients_activityperiod",
    "billing_outboxmessage",
)  # fmt: skip


def found(reference=None):
    return sorted(
        (each.finding.subject, str(each.finding.code)) for each in check_books(office_reference=reference).findings
    )


def test_the_tables_of_an_office_with_a_story_are_what_its_log_tells(story):
    assert found() == []
    books = books_at(office_reference=story.reference)
    assert sorted(books.cycles) == ["2025-10", "2025-11", "2026-01", "2026-02", "2026-03"]
    assert {invoice.status for invoice in books.invoices.values()} == {"draft", "sent", "paid"}
    assert books.has_customer


def a(model, **fields):
    return model.objects.filter(**fields)


def paid():
    return Invoice.objects.filter(status="paid", invoice_type="monthly", total_cents__gt=0)


def january():
    return LineItem.objects.filter(cycle_key="2026-01")


def _cycle(key="2026-01"):
    return BillingCycle.objects.filter(key=key, office__reference="clinic-a")


def delete_entry(**fields):
    AuditEntry.objects.filter(
        pk=AuditEntry.objects.filter(stream="office:clinic-a", **fields).latest("seq").pk
    ).delete()


def copy(row, **fields):
    row.pk = None if isinstance(row.pk, int) else uuid4()
    for name, value in fields.items():
        setattr(row, name, value)
    row.save(force_insert=True)


def of_a(model):
    return model.objects.filter(office__reference="clinic-a")


PLANTED = {
    "a paid invoice made sent again": (lambda: paid().update(status="sent"), "invoice_status"),
    "a sent invoice marked paid": (lambda: of_a(Invoice).filter(status="sent").update(status="paid"), "invoice_status"),
    "a total changed": (lambda: paid().update(total_cents=1), "invoice_total"),
    "a paid moment moved": (lambda: paid().update(paid_at=utc("2026-02-01")), "invoice_moments"),
    "a close moved": (lambda: paid().update(closed_at=utc("2026-02-01")), "invoice_moments"),
    "an invoice made a backfill's": (lambda: paid().update(origin="backfill"), "invoice_kind"),
    "a currency changed": (lambda: paid().update(currency="EUR"), "invoice_kind"),
    "an invoice made of nothing": (
        lambda: of_a(Invoice).create(
            office=Office.objects.get(reference="clinic-a"), invoice_type="one_off", currency="USD",
            created_at=utc("2026-02-01"), updated_at=utc("2026-02-01"),
        ),
        "invoice_not_in_log",
    ),
    "a draft deleted": (
        lambda: (
            LineItem.objects.filter(invoice__cycle__key="2025-10").delete(),
            Invoice.objects.filter(cycle__key="2025-10").delete(),
        ),
        "invoice_gone",
    ),
    "a line deleted": (lambda: january().filter(pk=january().first().pk).delete(), "line_count"),
    "a line deleted, its patient uncharged": (
        lambda: january().filter(pk=january().first().pk).delete(),
        "line_missing",
    ),
    "a line added": (
        lambda: copy(january().first(), patient_reference=uuid4()),
        "line_count",
    ),
    "a line without a period": (
        lambda: january().filter(pk=january().first().pk).update(patient_reference=uuid4()),
        "line_without_period",
    ),
    "a line of an open invoice without a period": (
        lambda: LineItem.objects.filter(
            pk=LineItem.objects.filter(cycle_key="2026-03").first().pk
        ).update(patient_reference=uuid4()),
        "line_without_period",
    ),
    "a price changed": (lambda: january().filter(pk=january().first().pk).update(unit_price_cents=1), "line_price"),
    "a sum changed": (lambda: january().filter(pk=january().first().pk).update(unit_price_cents=1), "line_sum"),
    "a line forgiven": (lambda: january().filter(pk=january().first().pk).update(live=False), "line_live"),
    "a quantity raised": (
        lambda: LineItem.objects.filter(item_type="one_off").update(quantity=2),
        "line_sum",
    ),
    "a cycle reopened": (lambda: _cycle().update(closed_at=None, last_period_id=None), "cycle_close"),
    "a count of patients changed": (lambda: _cycle().update(patient_count=99), "cycle_close"),
    "a last period moved": (lambda: _cycle().update(last_period_id=0), "cycle_close"),
    "a frozen price changed": (lambda: _cycle().update(unit_price_cents=1), "cycle_terms"),
    "a boundary moved": (lambda: _cycle("2025-10").update(start_at=utc("2025-10-01")), "cycle_terms"),
    "a frozen status changed": (lambda: _cycle().update(status="trialing"), "cycle_terms"),
    "a cycle made of nothing": (
        lambda: copy(
            _cycle("2025-10").get(), index=-9, key="2025-04", start_at=utc("2025-04-15"), end_at=utc("2025-05-15")
        ),
        "cycle_not_in_log",
    ),
    "a status row added": (
        lambda: of_a(OfficeStatusChange).create(
            office=Office.objects.get(reference="clinic-a"), status="inactive", effective_at=utc("2026-02-02")
        ),
        "status_history",
    ),
    "a status row changed": (lambda: of_a(OfficeStatusChange).update(status="trialing"), "status_history"),
    "a zone changed": (lambda: of_a(OfficeZone).update(timezone="UTC"), "zone_history"),
    "a zone row deleted": (lambda: of_a(OfficeZone).filter(timezone="America/Chicago").delete(), "zone_history"),
    "a plan row deleted": (lambda: of_a(OfficePlan).filter(plan__code="other").delete(), "plan_history"),
    "a plan changed": (
        lambda: of_a(OfficePlan).update(plan=Plan.objects.create(code="gift", name="Gift")),
        "plan_history",
    ),
    "an override lowered": (lambda: of_a(PriceOverride).update(unit_price_cents=1), "price_overrides"),
    "an override prolonged": (lambda: of_a(PriceOverride).update(ends_on=date(2027, 1, 1)), "price_overrides"),
    "an anchor moved": (lambda: Office.objects.update(billing_cycle_anchor_date=date(2026, 1, 1)), "anchor"),
    "an anchor freed": (lambda: Office.objects.update(first_cycle_opened_at=None), "first_cycle"),
    "an office parked by hand": (lambda: Office.objects.update(parked_at=utc("2026-02-02")), "parking"),
    "a customer forgotten": (lambda: OfficeStripeAccount.objects.all().delete(), "customer"),
    "a period deleted": (
        lambda: of_a(ActivityPeriod).filter(pk=of_a(ActivityPeriod).latest("pk").pk).delete(),
        "periods",
    ),
    "a period added": (
        lambda: make_patient(Office.objects.get(reference="clinic-a"), (utc("2026-03-16"), None)),
        "periods",
    ),
    "an entry deleted": (lambda: delete_entry(action="office.zone_changed"), "entry_missing"),
    "the last entry deleted": (delete_entry, "entry_missing"),
    "a move without its entry": (lambda: delete_entry(action="invoice.status_changed"), "invoice_status"),
    "an entry made unreadable": (
        lambda: AuditEntry.objects.filter(stream="office:clinic-a", action="cycle.closed").update(payload="{}"),
        "entry_unreadable",
    ),
    "a move rewritten": (
        lambda: AuditEntry.objects.filter(stream="office:clinic-a", action="invoice.status_changed").update(
            payload=f'{{"from":"paid","invoice":"{paid().first().pk}","to":"sent"}}'
        ),
        "move_not_allowed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_change_by_hand_is_found_and_typed(story, name):
    plant, code = PLANTED[name]
    lift_rules(*EVERY_TABLE)
    drop_unique("billing_lineitem", "line_item_patient_once_per_cycle")

    plant()

    assert code in {found_code for _subject, found_code in found("clinic-a")}


def test_a_change_at_one_office_is_no_finding_of_another(story):
    lift_rules(*EVERY_TABLE)
    paid().update(total_cents=1)
    assert found("clinic-b") == []


def test_the_nightly_check_keeps_each_subject_once_and_lets_it_go_when_it_is_mended(story):
    assert keep_findings(actor=ACTOR, now=utc("2026-04-01")) == 0
    lift_rules(*EVERY_TABLE)
    right = paid().get(cycle__key="2026-01").total_cents
    paid().filter(cycle__key="2026-01").update(total_cents=1, currency="EUR")

    assert keep_findings(actor=ACTOR, now=utc("2026-04-02")) == 1
    assert keep_findings(actor=ACTOR, now=utc("2026-04-03")) == 0

    row = Discrepancy.objects.get()
    assert (row.kind, row.status, row.repair) == ("books_changed_by_hand", "open", "look")
    assert set(json.loads(row.theirs)["codes"]) == {"invoice_kind", "invoice_total"}
    assert row.invoice is not None
    paid().filter(cycle__key="2026-01").update(total_cents=right, currency="USD")
    keep_findings(actor=ACTOR, now=utc("2026-04-04"))
    assert Discrepancy.objects.get().status == "gone"
    assert ReconciliationRun.objects.filter(phase="done", finished_at__isnull=False).count() == 4


def test_books_of_an_earlier_instant_are_rebuilt(story):
    early = books_at(office_reference=story.reference, at=utc("2026-02-01"))
    assert sorted(early.cycles) == ["2026-01"]
    assert early.cycles["2026-01"].closed_at is None
    assert sorted(invoice.invoice_type for invoice in early.invoices.values()) == ["monthly", "one_off"]
    assert not early.has_customer
    assert list(early.statuses.values()) == ["active"]


def test_no_finding_names_a_patient(story):
    lift_rules(*EVERY_TABLE)
    january().update(unit_price_cents=1)
    patients = [str(line.patient_reference) for line in january()]
    keep_findings(actor=ACTOR, now=utc("2026-04-01"))
    _code, told = command("--json")
    stored = "".join(f"{row.ours}{row.theirs}{row.subject}" for row in Discrepancy.objects.all())
    assert "line_price" in stored
    assert not [patient for patient in patients if patient in told + stored]


def test_a_check_takes_the_same_few_queries_for_many_offices(story, django_assert_max_num_queries):
    with django_assert_max_num_queries(40):
        check_books()


def test_what_waits_for_the_next_close_is_no_change_by_hand(story):
    cycle = _cycle("2026-01").get()
    make_patient(story, (cycle.start_at, cycle.start_at + timedelta(days=1)))
    assert [each.code for each in usage_differences([cycle])] == ["adjustment_waits"]
    assert found() == [("office", "periods")]


def command(*arguments):
    out = StringIO()
    try:
        call_command("rebuild_books", *arguments, stdout=out)
        code = 0
    except SystemExit as exit_:
        code = exit_.code
    return code, out.getvalue()


def test_the_command_prints_the_state_or_the_differences(story):
    assert command()[0] == 0
    code, told = command("--office", "clinic-a", "--at", "2026-02-01T00:00:00Z", "--json")
    assert code == 0
    assert sorted(json.loads(json.loads(told)["state"])["cycles"]) == ["2026-01"]
    change_zone(office_id=story.pk, timezone="UTC", actor=ACTOR, now=utc("2026-04-01"))
    assert command("--office", "clinic-a")[0] == 0
    of_a(OfficeZone).filter(timezone="UTC").update(timezone="Asia/Tokyo")
    code, told = command("--json")
    assert code == 1
    assert [problem["code"] for problem in json.loads(told)["problems"]] == ["zone_history"]


def test_the_command_refuses_wrong_arguments(story):
    for arguments in (["--at", "2026-02-01T00:00:00Z"], ["--office", "nobody"], ["--office", "clinic-a", "--at", "x"]):
        with pytest.raises(CommandError):
            call_command("rebuild_books", *arguments)
    with pytest.raises(OfficeNotFound):
        books_at(office_reference="nobody")
