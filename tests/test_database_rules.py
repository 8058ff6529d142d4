"""The database states the rules itself: each constraint and trigger refuses what its name says, on both databases."""

import re
import uuid
from datetime import date, timedelta

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import CheckConstraint, UniqueConstraint
from pytest_django.plugin import DjangoDbBlocker

from audit.models import StreamHead
from billing.models import BillingCycle, Invoice, LineItem, OutboundRequest, OutboxMessage, OutboxStep
from offices.models import Plan
from patients.identity_tokens import PatientToken
from patients.models import Patient
from tests.database_rows import NOW, Rows, again, change
from tests.tampering import execute

pytestmark = pytest.mark.django_db

OURS = ("audit", "offices", "patients", "billing")
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def closed_month(shared_rows: DjangoDbBlocker) -> uuid.UUID:
    """An office whose month is closed, made once for all rules."""
    with shared_rows.unblock():
        return Rows().closed.pk


@pytest.fixture
def rows(closed_month: uuid.UUID, db: None) -> Rows:
    made = Rows()
    made.closed = Invoice.objects.get(pk=closed_month)
    assert made.open  # now, and not within a statement that is rolled back
    return made


# --- Constraints of the models: each with the smallest thing that breaks it ---
BROKEN_BY = {
    "audit_entry_one_per_position": lambda r: again(r.entry, previous="1" * 64),
    "audit_entry_chain_never_forks": lambda r: again(r.entry, seq=77),
    "audit_entry_positions_start_at_one": lambda r: again(r.entry, seq=0, previous="1" * 64),
    "stream_head_position_not_negative": lambda r: StreamHead.objects.create(stream="x", seq=-1),
    "audit_checkpoint_chain_never_forks": lambda r: again(r.checkpoint, seq=2),
    "audit_checkpoint_positions_start_at_one": lambda r: again(r.checkpoint, seq=0, previous="1" * 64),
    "sealed_head_once_per_checkpoint": lambda r: again(r.sealed_head, seq=77),
    "sealed_head_once_per_position": lambda r: again(r.sealed_head, place=77),
    "sealed_head_place_not_negative": lambda r: again(r.sealed_head, place=-1, seq=77),
    "plan_setup_fee_not_negative": lambda r: Plan.objects.create(code="x", name="x", setup_fee_cents=-1),
    "plan_price_one_version_per_day": lambda r: again(r.price),
    "plan_price_not_negative": lambda r: change(r.price, unit_price_cents=-1),
    "office_collection_method_known": lambda r: change(r.office, collection_method="cash"),
    "office_currency_is_iso_4217": lambda r: change(r.office, currency="usd"),
    "office_reference_opaque": lambda r: change(r.office, reference="Dr. Møller"),
    "office_status_one_change_per_instant": lambda r: again(r.office.status_changes.first()),
    "office_status_known": lambda r: change(r.office.status_changes.first(), status="past_due"),
    "office_zone_one_change_per_instant": lambda r: again(r.office.zones.first()),
    "office_plan_one_change_per_instant": lambda r: again(r.office.plans.first()),
    "price_override_not_negative": lambda r: change(r.override, unit_price_cents=-1),
    "price_override_has_an_end": lambda r: change(r.override, ends_on=r.override.starts_on),
    "price_override_has_a_reason": lambda r: change(r.override, reason=""),
    "stripe_account_customer_once": lambda r: again(r.account, office=another_office(), subscription_index=None),
    "stripe_account_subscription_once": lambda r: again(r.account, office=another_office(), customer_index="d"),
    "activity_period_starts_once": lambda r: again(r.period),
    "activity_period_one_open_per_patient": lambda r: again(r.open_period, activated_at=NOW),
    "activity_period_not_empty": lambda r: change(r.period, deactivated_at=r.period.activated_at),
    "patient_identity_record_number_once_per_office": lambda r: again(r.identity, patient=another_patient(r)),
    "patient_token_kind_known": lambda r: PatientToken.objects.create(
        patient_id=r.patient.pk, office_id=r.office.pk, kind="shoe_size", digest=uuid.uuid4(), key_id="k"
    ),
    "reveal_grant_has_an_actor": lambda r: change(r.grant, actor=""),
    "reveal_grant_expires": lambda r: change(r.grant, expires_at=r.grant.granted_at),
    "api_key_scopes_known": lambda r: change(r.api_key, scopes="everything"),
    "platform_key_scopes_known": lambda r: change(r.platform_key, scopes="everything"),
    "platform_key_is_marked": lambda r: change(r.platform_key, prefix="abcdefgh"),
    "platform_key_names_an_office_once": lambda r: again(r.key_office),
    "idempotency_key_once_per_credential": lambda r: again(r.answer),
    "idempotent_answer_is_a_success": lambda r: change(r.answer, status_code=409),
    "billing_cycle_one_per_index": lambda r: next_cycle(r, index=r.open_cycle.index),
    "billing_cycle_one_per_month": lambda r: next_cycle(r, key=r.open_cycle.key),
    "billing_cycle_not_empty": lambda r: next_cycle(r, end_at=r.open_cycle.end_at),
    "billing_cycle_price_not_negative": lambda r: next_cycle(r, unit_price_cents=-1),
    "billing_cycle_key_is_a_month": lambda r: next_cycle(r, key="2026-13"),
    "billing_cycle_closed_after_carry_over": lambda r: change(r.open_cycle, closed_at=NOW),
    "invoice_one_monthly_per_cycle": lambda r: again(r.open),
    "invoice_one_setup_fee_per_office": lambda r: again(r.setup_fee),
    "invoice_stripe_id_once": lambda r: [change(each, stripe_invoice_id="in_1") for each in (r.closed, r.setup_fee)],
    "invoice_status_known": lambda r: change(r.open, status="lost"),
    "invoice_type_known": lambda r: again(r.open, invoice_type="gift", cycle=None),
    "invoice_origin_known": lambda r: change(r.open, origin="mars"),
    "invoice_monthly_has_a_cycle": lambda r: change(r.open, cycle=None),
    "invoice_total_frozen_at_close": lambda r: change(r.open, total_cents=5),
    "invoice_closed_before_sent": lambda r: change(r.open, status="sent"),
    "invoice_paid_unsent_only_at_zero": lambda r: change(r.closed, status="paid"),
    "line_item_patient_once_per_cycle": lambda r: again(r.open_line),
    "line_item_type_known": lambda r: change(r.open_line, item_type="gift"),
    "line_item_price_not_negative": lambda r: change(r.open_line, unit_price_cents=-1),
    "line_item_quantity_positive": lambda r: change(r.open_line, item_type="adjustment", quantity=0),
    "line_item_patient_charge_names_patient_and_cycle": lambda r: change(r.open_line, patient_reference=None),
    "outbox_one_message_per_invoice": lambda r: again(r.invoice_message),
    "outbox_one_customer_message_per_office": lambda r: again(r.customer_message),
    "outbox_kind_known": lambda r: again(r.customer_message, kind="postcard"),
    "outbox_status_known": lambda r: change(r.invoice_message, status="lost"),
    "outbox_leased_has_a_token": lambda r: change(r.invoice_message, status="leased"),
    "outbox_invoice_message_names_its_invoice": lambda r: again(r.invoice_message, invoice=None),
    "outbox_step_one_per_position": lambda r: again(r.step, idempotency_key=uuid.uuid4()),
    "outbox_step_key_once": lambda r: again(r.step, position=1),
    "incident_disposed_by_somebody_with_words": lambda r: change(r.incident, disposed_at=NOW, disposed_by="x"),
    "staff_device_invitation_ends": lambda r: change(r.device, confirmed=False),
    "staff_device_confirmed_at_a_time": lambda r: change(r.device, confirmed_at=None),
    "emergency_opening_has_a_person": lambda r: again(r.opening, person=""),
    "emergency_opening_ends": lambda r: change(r.opening, ends_at=r.opening.opened_at),
    "office_profile_one_standing": lambda r: again(r.profile),
    "office_profile_name_is_ascii": lambda r: change(r.profile, name="Clínica"),
    "office_profile_against_advice_needs_a_reason": lambda r: change(r.profile, advice="person_name"),
    "profile_rejection_has_a_reason": lambda r: again(r.rejection, reason=""),
    "payment_stripe_id_once": lambda r: again(r.payment),
    "payment_status_known": lambda r: change(r.payment, status="lost"),
    "payment_amounts_not_negative": lambda r: change(r.payment, amount_paid_cents=-1),
    "payment_out_of_band_once_per_invoice": lambda r: again(r.offline_payment),
    "payment_through_stripe_has_its_id": lambda r: change(r.payment, stripe_payment_id=None),
    "invoice_overpaid_not_negative": lambda r: change(r.closed, overpaid_cents=-1),
    "refund_stripe_id_once": lambda r: again(r.refund),
    "refund_status_known": lambda r: change(r.refund, status="lost"),
    "refund_amount_not_negative": lambda r: change(r.refund, amount_cents=-1),
    "dispute_stripe_id_once": lambda r: again(r.dispute),
    "dispute_status_known": lambda r: change(r.dispute, status="forgotten"),
    "dispute_amount_not_negative": lambda r: change(r.dispute, amount_cents=-1),
    "credit_note_stripe_id_once": lambda r: again(r.credit_note),
    "credit_note_status_known": lambda r: change(r.credit_note, status="lost"),
    "credit_note_amounts_positive": lambda r: change(r.credit_note, amount_cents=0),
    "correction_one_open_per_invoice": lambda r: again(r.correction),
    "correction_kind_known": lambda r: again(r.correction, kind="gift", status="done"),
    "correction_status_known": lambda r: change(r.correction, status="lost"),
    "correction_approved_by_a_second_person": lambda r: change(r.correction, status="approved", decided_by="ann"),
    "correction_credit_has_an_amount": lambda r: again(r.correction, amount_cents=None, status="rejected"),
    "correction_expires_later": lambda r: change(r.correction, expires_at=NOW),
    "dropped_line_once_per_correction": lambda r: again(r.dropped_line),
    "outbox_correction_message_names_its_correction": lambda r: again(
        r.customer_message, kind="correction", invoice=r.closed
    ),
    "month_close_key_is_a_month": lambda r: again(r.month_close, key="2026-13"),
    "month_close_locked_with_the_second_signature": lambda r: change(r.month_close, locked_at=NOW),
    "month_close_signed_by_two_people": lambda r: change(r.month_close, second_signed_by="ann", locked_at=NOW),
    "reconciliation_run_phase_known": lambda r: change(r.reconciliation_run, phase="lost"),
    "reconciliation_run_finished_when_done": lambda r: change(r.reconciliation_run, finished_at=NOW),
    "stripe_money_kind_known": lambda r: change(r.money_copy, kind="mood"),
    "discrepancy_open_once_per_subject": lambda r: again(r.discrepancy),
    "discrepancy_kind_known": lambda r: change(r.discrepancy, kind="mood"),
    "discrepancy_status_known": lambda r: change(r.discrepancy, status="lost", ended_at=NOW, ended_by="ann"),
    "discrepancy_ended_by_somebody": lambda r: change(r.discrepancy, status="gone", ended_at=NOW),
    "billing_run_status_known": lambda r: change(r.run, status="lost"),
    "billing_run_one_asked_at_a_time": lambda r: [again(r.run, status="asked", reason="now") for _ in range(2)],
    "billing_run_asked_for_a_reason": lambda r: change(r.run, status="asked"),
    "parked_office_once_at_a_time": lambda r: again(r.parking),
    "parked_office_code_known": lambda r: change(r.parking, code="mood"),
    "parked_office_unparked_with_a_reason": lambda r: change(r.parking, unparked_at=NOW),
    "parked_office_stopped_by_somebody_for_a_reason": lambda r: change(r.parking, code="stopped_by_staff"),
    "event_replay_window_not_empty": lambda r: change(r.replay, window_until=r.replay.window_from),
    "stripe_event_status_known": lambda r: change(r.event, status="lost"),
}  # fmt: skip


# SQLite asks its triggers first: periods that start together, or are both open, overlap too.
STRICTER = dict.fromkeys(
    ("activity_period_starts_once", "activity_period_one_open_per_patient"), "activity_period_never_overlaps"
)


def another_office():
    return Rows().office


def another_patient(rows: Rows) -> Patient:
    return Patient.objects.create(office=rows.office, created_at=NOW)


def next_cycle(rows: Rows, **changes) -> None:
    cycle = rows.open_cycle
    after = {"start_at": cycle.end_at, "end_at": cycle.end_at + 24 * HOUR}
    again(cycle, **{"index": cycle.index + 1, "key": "2027-01", "closed_at": None} | after | changes)


def constraints() -> dict[str, tuple[type, CheckConstraint | UniqueConstraint]]:
    models = [model for model in apps.get_models() if model._meta.app_label in OURS]
    return {constraint.name: (model, constraint) for model in models for constraint in model._meta.constraints}


def test_every_constraint_of_the_models_has_a_case():
    assert set(BROKEN_BY) == set(constraints())


def test_the_database_has_every_constraint_of_the_models():
    for name, (model, _) in constraints().items():
        with connection.cursor() as cursor:
            assert name in connection.introspection.get_constraints(cursor, model._meta.db_table), name


@pytest.mark.parametrize("name", BROKEN_BY)
def test_the_constraint_refuses_what_its_name_says(rows, name):
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        BROKEN_BY[name](rows)

    assert refused_by(refusal.value) in {name, columns_of(name), STRICTER.get(name)}


def refused_by(error: IntegrityError) -> str:
    """Return the name of the rule; SQLite names the columns instead when a unique rule is broken."""
    if connection.vendor == "postgresql":
        return error.__cause__.diag.constraint_name
    return re.sub(r"^(CHECK constraint failed|UNIQUE constraint failed): ", "", str(error))


def columns_of(name: str) -> str:
    model, constraint = constraints()[name]
    table = model._meta.db_table
    fields = getattr(constraint, "fields", ())
    return ", ".join(f"{table}.{model._meta.get_field(field).column}" for field in fields)


# --- Triggers and exclusion constraints: what migrations write by hand ---
APPEND_ONLY = ("audit_entry_append_only", "audit_checkpoint_append_only", "sealed_head_append_only")
TRIGGERS = {
    "postgresql": {
        *APPEND_ONLY,
        *(f"line_item_frozen_{event}" for event in ("insert", "update", "delete", "truncate")),
        "month_locked_cycle",
        "month_close_frozen",
        *(f"{kept}_kept_truncate" for kept in ("outbox_message", "outbox_step", "outbound_request")),
    },
    "sqlite": {
        *(f"{rule}_{event}" for rule in APPEND_ONLY for event in ("update", "delete")),
        *(f"line_item_frozen_{event}" for event in ("insert", "update", "delete")),
        *(f"activity_period_never_overlaps_{event}" for event in ("INSERT", "UPDATE")),
        "billing_cycle_never_overlaps",
        *(f"month_locked_cycle_{event}" for event in ("insert", "update", "delete")),
        *(f"month_close_frozen_{event}" for event in ("update", "delete")),
    },
}
ON_BOTH = {
    "invoice_frozen_after_close", "billing_cycle_terms_frozen", "outbox_payload_frozen",
    "patient_tokens_go_with_the_identity",
    "correction_frozen", "correction_decided_once", "outbox_correction_frozen", "invoice_replaces_frozen",
    "month_locked_invoice", "month_locked_cancel",
    "dropped_line_frozen", "correction_kept", "dropped_line_kept", "credit_note_kept", "refund_kept", "dispute_kept",
    "invoice_kept_after_close", "billing_cycle_kept_after_close", "outbox_message_kept", "outbound_request_kept",
    "profile_rejection_frozen", "profile_rejection_kept",
    "outbox_step_kept", "outbound_request_frozen", "outbox_step_frozen_when_done",
}  # fmt: skip


def test_the_database_has_every_trigger_enabled():
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        found = {name for (name,) in cursor.fetchall()}
    assert found == TRIGGERS[connection.vendor] | ON_BOTH


@pytest.mark.postgresql
def test_the_database_has_every_exclusion_constraint():
    with connection.cursor() as cursor:
        cursor.execute("SELECT conname FROM pg_constraint WHERE contype = 'x'")
        found = {name for (name,) in cursor.fetchall()}
    assert found == {"billing_cycle_never_overlaps", "activity_period_never_overlaps"}


def refuses(rule: str, act) -> None:
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        act()


OTHER = {
    "item_type": "adjustment", "cycle_key": "2025-01", "patient_reference": uuid.UUID(int=1), "quantity": 2,
    "unit_price_cents": 1, "created_at": NOW + HOUR, "live": False, "id": uuid.UUID(int=2),
}  # fmt: skip


@pytest.mark.parametrize("column", OTHER)
def test_no_column_of_a_line_changes_after_close(rows, column):
    # A patient's line has quantity 1 by another rule.
    line = rows.setup_fee.line_items.get() if column == "quantity" else rows.closed_line
    refuses("line_item_frozen_after_close", lambda: change(line, **{column: OTHER[column]}))


def test_the_test_above_names_every_column_of_a_line():
    assert set(OTHER) == {field.attname for field in LineItem._meta.concrete_fields} - {"invoice_id"}


def test_no_line_enters_or_leaves_a_closed_invoice(rows):
    rule = "line_item_frozen_after_close"
    refuses(rule, lambda: again(rows.closed_line, live=False))
    refuses(rule, rows.closed_line.delete)
    refuses(rule, lambda: change(rows.closed_line, invoice=rows.open))
    refuses(rule, lambda: change(rows.open_line, invoice=rows.closed))
    refuses(rule, lambda: rows.closed.line_items.all()._raw_delete("default"))


@pytest.mark.postgresql
def test_lines_cannot_be_truncated(rows):
    execute("SET CONSTRAINTS ALL IMMEDIATE")  # or PostgreSQL itself refuses, for the checks that still wait
    refuses("line_item_frozen_after_close", lambda: execute("TRUNCATE billing_lineitem CASCADE"))


def test_one_closed_line_among_open_ones_stops_the_whole_statement(rows):
    assert rows.open_line
    refuses("line_item_frozen_after_close", lambda: LineItem.objects.update(unit_price_cents=1))
    assert set(LineItem.objects.values_list("unit_price_cents", flat=True)) == {200}


def test_lines_of_an_open_invoice_change_freely(rows):
    change(rows.open_line, unit_price_cents=150)
    rows.open_line.delete()


def test_only_live_falls_and_only_when_the_invoice_is_canceled(rows):
    change(rows.closed, status="canceled")
    rule, line = "line_item_frozen_after_close", rows.closed_line
    refuses(rule, lambda: change(line, live=False, unit_price_cents=1))
    refuses(rule, lambda: change(line, unit_price_cents=1))
    change(line, live=False)
    refuses(rule, lambda: change(line, live=True))


INVOICE = {
    "office_id": lambda r: another_office().pk,
    "cycle_id": lambda r: r.open_cycle.pk,
    "invoice_type": lambda r: "one_off",
    "origin": lambda r: "backfill",
    "currency": lambda r: "EUR",
    "total_cents": lambda r: 1,
    "closed_at": lambda r: None,
}


@pytest.mark.parametrize("column", INVOICE)
def test_what_an_invoice_says_is_frozen_after_close(rows, column):
    value = INVOICE[column](rows)
    refuses("invoice_frozen_after_close", lambda: change(rows.closed, **{column: value}))


def test_what_happens_to_an_invoice_goes_on_after_close(rows):
    change(rows.closed, status="sent", stripe_invoice_id="in_1", sent_at=NOW, due_at=NOW, version=3)


CYCLE = {
    "office_id": lambda r: another_office().pk, "index": lambda r: 99, "key": lambda r: "2031-01",
    "start_date": lambda r: date(2031, 1, 1), "end_date": lambda r: date(2031, 1, 1),
    "start_at": lambda r: r.open_cycle.start_at + HOUR, "end_at": lambda r: r.open_cycle.end_at + HOUR,
    "zone": lambda r: "UTC", "status": lambda r: "trialing", "unit_price_cents": lambda r: 1,
    "plan_id": lambda r: Plan.objects.create(code="x", name="x").pk, "price_override_id": lambda r: r.override.pk,
    "price_version_id": lambda r: r.price.plan.prices.create(effective_on=date(2031, 1, 1), unit_price_cents=1).pk,
}  # fmt: skip


@pytest.mark.parametrize("column", CYCLE)
def test_the_terms_of_a_cycle_are_frozen_from_its_first_moment(rows, column):
    value = CYCLE[column](rows)
    refuses("billing_cycle_terms_frozen", lambda: change(rows.open_cycle, **{column: value}))


def test_the_test_above_names_every_column_but_those_of_its_life():
    life = {"id", "opened_at", "carried_over_at", "closed_at", "last_period_id", "patient_count"}
    assert set(CYCLE) == {field.attname for field in BillingCycle._meta.concrete_fields} - life


PAYLOAD = {
    "kind": lambda r: "customer", "office_id": lambda r: another_office().pk, "invoice_id": lambda r: r.setup_fee.pk,
    "payload": lambda r: "{}", "payload_digest": lambda r: "0" * 64, "created_at": lambda r: NOW + HOUR,
}  # fmt: skip


@pytest.mark.parametrize("column", PAYLOAD)
def test_what_waits_for_stripe_is_frozen(rows, column):
    value = PAYLOAD[column](rows)
    refuses("outbox_payload_frozen", lambda: change(rows.invoice_message, **{column: value}))


REQUEST = {
    "id": lambda r: 10**9, "message_id": lambda r: r.customer_message.pk, "sent_at": lambda r: NOW + HOUR,
    "operation": lambda r: "y", "method": lambda r: "POST", "digest": lambda r: "0" * 64,
    "idempotency_key": lambda r: uuid.uuid4(), "policy_version": lambda r: "9", "status": lambda r: 200,
    "error_code": lambda r: "y", "replayed": lambda r: True,
}  # fmt: skip
STEP = {
    "id": lambda r: 10**9, "message_id": lambda r: r.invoice_message.pk, "position": lambda r: 7,
    "operation": lambda r: "y", "idempotency_key": lambda r: uuid.uuid4(), "key_version": lambda r: 9,
    "first_sent_at": lambda r: NOW + HOUR, "done_at": lambda r: None, "answered_with_error": lambda r: True,
    "stripe_object_id": lambda r: "in_2",
}  # fmt: skip
SEALED = {"request": ("path", "query", "body"), "done_step": ("customer_id",)}
FROZEN_BY = {"request": "outbound_request_frozen", "done_step": "outbox_step_frozen_when_done"}


@pytest.mark.parametrize("column", REQUEST)
def test_a_request_that_left_stays_as_it_was_written_down(rows, column):
    value = REQUEST[column](rows)
    refuses("outbound_request_frozen", lambda: change(rows.request, **{column: value}))


@pytest.mark.parametrize("column", STEP)
def test_a_step_that_is_done_stays_as_it_was(rows, column):
    value = STEP[column](rows)
    refuses("outbox_step_frozen_when_done", lambda: change(rows.done_step, **{column: value}))


def test_the_tests_above_name_every_column_that_is_not_sealed():
    for columns, row, model in ((REQUEST, "request", OutboundRequest), (STEP, "done_step", OutboxStep)):
        assert set(columns) | set(SEALED[row]) == {field.attname for field in model._meta.concrete_fields}


@pytest.mark.parametrize(("row", "column"), [(row, column) for row, columns in SEALED.items() for column in columns])
def test_what_is_sealed_changes_to_another_key_and_to_nothing_else(rows, settings, row, column):
    kept, rule = getattr(rows, row), FROZEN_BY[row]
    table, clear = kept._meta.db_table, getattr(kept, column)
    update = f'UPDATE {table} SET "{column}" = %s WHERE id = %s'
    refuses(rule, lambda: change(kept, **{column: "anything else"}))
    refuses(rule, lambda: execute(update, "anything else", kept.pk))
    refuses(rule, lambda: execute(update, "", kept.pk))
    if kept._meta.get_field(column).null:
        refuses(rule, lambda: execute(update, None, kept.pk))
    settings.FIELD_ENCRYPTION_KEYS = ["a-new-field-key-of-enough-length-0123456789", *settings.FIELD_ENCRYPTION_KEYS]
    change(kept, **{column: clear})
    kept.refresh_from_db()
    assert getattr(kept, column) == clear


def test_a_step_that_made_no_customer_gets_none_when_it_is_done(rows):
    change(rows.step, stripe_object_id="in_1", done_at=NOW)
    refuses("outbox_step_frozen_when_done", lambda: change(rows.step, customer_id="cus_1"))


def test_a_step_that_is_not_done_goes_on(rows):
    change(rows.step, first_sent_at=NOW, idempotency_key=uuid.uuid4(), key_version=2, answered_with_error=True)
    change(rows.step, stripe_object_id="in_1", done_at=NOW)


@pytest.mark.postgresql
def test_evidence_is_kept_from_truncation_and_from_whoever_switches_triggers_off(rows):
    assert rows.request
    assert rows.done_step
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute("SET LOCAL session_replication_role = replica")
    for table in ("billing_outboundrequest", "billing_outboxstep", "billing_outboxmessage"):
        refuses("_kept", lambda table=table: execute(f"TRUNCATE {table} CASCADE"))
        refuses("_kept", lambda table=table: execute(f"DELETE FROM {table}"))
    refuses("outbound_request_frozen", lambda: execute("UPDATE billing_outboundrequest SET status = 200"))
    refuses("outbox_step_frozen_when_done", lambda: execute("UPDATE billing_outboxstep SET key_version = 9"))
    refuses("outbox_payload_frozen", lambda: execute("UPDATE billing_outboxmessage SET payload = ''"))


@pytest.mark.parametrize(
    ("rule", "row"),
    [
        ("outbox_step_kept", "step"),
        ("outbox_step_kept", "done_step"),
        ("invoice_kept_after_close", "closed"),
        ("billing_cycle_kept_after_close", "closed_cycle"),
        ("outbox_message_kept", "invoice_message"),
        ("outbound_request_kept", "request"),
        ("profile_rejection_kept", "rejection"),
    ],
)
def test_what_is_evidence_is_never_deleted(rows, rule, row):
    kept = getattr(rows, row)
    refuses(rule, lambda: type(kept)._base_manager.filter(pk=kept.pk)._raw_delete("default"))


def test_a_rejection_stays_as_it_was_written(rows):
    refuses("profile_rejection_frozen", lambda: change(rows.rejection, reason="another"))


def test_an_open_month_may_be_deleted(rows):
    opened, cycle = rows.open, rows.open_cycle
    opened.line_items.all().delete()
    opened.delete()
    cycle.delete()
    assert (
        Invoice.objects.count() == BillingCycle.objects.count() == OutboxMessage.objects.filter(kind="invoice").count()
    )


@pytest.mark.parametrize(("start", "end"), [(-1, 1), (0, 1), (-99, 999)], ids=["across the end", "inside", "around"])
def test_cycles_of_an_office_never_overlap(rows, start, end):
    cycle = rows.open_cycle
    changes = {"start_at": cycle.end_at + (start - 1) * HOUR, "end_at": cycle.end_at + (end - 1) * HOUR + HOUR / 2}
    refuses("billing_cycle_never_overlaps", lambda: next_cycle(rows, **changes))


def test_cycles_may_touch_and_offices_share_time(rows):
    next_cycle(rows)
    another_office()


@pytest.mark.parametrize(
    ("start", "end"), [(-1, 0.5), (0.25, 0.5), (0.5, 2), (-1, 2), (0.5, None), (-1, None)],
    ids=["begin", "inside", "end", "around", "open", "open around"],
)  # fmt: skip
@pytest.mark.parametrize("by", ["insert", "update"])
def test_activity_periods_of_a_patient_never_overlap(rows, start, end, by):
    first = rows.period
    times = {
        "activated_at": first.activated_at + start * HOUR,
        "deactivated_at": end and first.activated_at + end * HOUR,
    }
    far = {"activated_at": NOW + 99 * HOUR, "deactivated_at": NOW + 100 * HOUR}
    if by == "update":
        again(first, **far)
        other = rows.patient.periods.get(**far)
        refuses("activity_period_never_overlaps", lambda: change(other, **times))
    else:
        refuses("activity_period_never_overlaps", lambda: again(first, **times))


def test_activity_periods_may_touch(rows):
    assert rows.open_period.activated_at == rows.period.deactivated_at
    again(rows.period, activated_at=rows.period.activated_at - HOUR, deactivated_at=rows.period.activated_at)


CORRECTION = {
    "invoice_id": uuid.UUID(int=1), "kind": "retry", "reason": "duplicate", "amount_cents": 99, "payback": "stripe",
    "invoice_version": 9, "requested_by": "bob", "requested_at": NOW - HOUR,
}  # fmt: skip


@pytest.mark.parametrize("column", CORRECTION)
def test_what_was_asked_for_never_changes(rows, column):
    refuses("correction_frozen", lambda: change(rows.correction, **{column: CORRECTION[column]}))


def test_a_decision_is_made_once(rows):
    change(rows.correction, status="approved", decided_by="bob", decided_at=NOW)
    refuses("correction_decided_once", lambda: change(rows.correction, decided_by="cid"))
    change(rows.correction, status="done", ended_at=NOW)


def test_a_replacement_keeps_its_link_and_a_message_its_correction(rows):
    refuses("invoice_replaces_frozen", lambda: change(rows.open, replaces=rows.closed))
    refuses("outbox_correction_frozen", lambda: change(rows.invoice_message, correction=rows.correction))
    refuses("dropped_line_frozen", lambda: change(rows.dropped_line, line_item=rows.open_line))


@pytest.mark.parametrize("name", ["correction", "dropped_line", "credit_note", "refund", "dispute"])
def test_the_proof_of_money_that_moved_is_never_deleted(rows, name):
    row = getattr(rows, name)
    refuses(f"{name}_kept", lambda: type(row)._base_manager.filter(pk=row.pk)._raw_delete("default"))
