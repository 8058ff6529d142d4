"""What Prometheus is told: numbers that are true, cheap to read, without an id; and only to who brings the token."""

import json
import re
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine
import yaml
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from billing.billing_run import run_due
from billing.models import (
    BillingRun,
    CanaryRun,
    Discrepancy,
    DiscrepancyKind,
    Incident,
    Invoice,
    InvoiceStatus,
    MessageStatus,
    OutboxMessage,
    ParkingCode,
    RepairKind,
    StripeEvent,
)
from billing.operating_figures import operating_figures
from billing.parking import park_office
from patients.models import Patient
from tests.billing.scenes import CLOSED_AT, close_month
from tests.builders import ACTOR

PROJECT = Path(__file__).resolve().parent.parent
RULES = yaml.safe_load((PROJECT / "docs/monitoring/alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((PROJECT / "docs/monitoring/dashboard.json").read_text(encoding="utf-8"))
TOKEN = "a-token-for-metrics-of-enough-length-01"
NOW = CLOSED_AT + timedelta(hours=3)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def token(settings):
    settings.METRICS_TOKEN = TOKEN


def get(header=f"Bearer {TOKEN}"):
    return Client().get("/metrics", headers={"Authorization": header} if header else {})


def told():
    """Return every sample by name and label value, as Prometheus parses it."""
    found = {}
    for family in text_string_to_metric_families(get().content.decode()):
        for sample in family.samples:
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


def event(name, status="pending", *, at=NOW, about="in_x"):
    StripeEvent.objects.create(
        event_id=name, event_type="invoice.paid", object_id=about, api_version="x", livemode=False, created=at,
        received_at=at, next_attempt_at=at, digest="x", status=status,
    )  # fmt: skip


def incident(*, call_site="delivery", **fields):
    Incident.objects.create(
        id=uuid4(), at=NOW, policy_version="2", reason="value_not_expected", call_site=call_site, actor=ACTOR, **fields
    )


# --- Who is told ---
def test_without_a_token_in_the_settings_there_is_no_such_page(settings):
    settings.METRICS_TOKEN = ""
    assert [get(header).status_code for header in (None, "Bearer ", f"Bearer {TOKEN}")] == [404] * 3


@pytest.mark.parametrize("header", [None, "", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "é"])
def test_another_token_is_refused_and_told_nothing(header):
    with CaptureQueriesContext(connection) as asked:
        answer = get(header)
    assert (answer.status_code, answer.content, answer["WWW-Authenticate"], len(asked)) == (401, b"", "Bearer", 0)


def test_the_page_is_only_read_and_never_cached():
    assert Client().post("/metrics").status_code == 405
    assert get().headers["Content-Type"].startswith("text/plain")
    assert "no-store" in get().headers["Cache-Control"]


def test_a_database_that_is_away_is_503(monkeypatch):
    def fail(*, now):
        raise DatabaseError("server closed the connection: Zoltana")

    monkeypatch.setattr("billing_project.metrics.operating_figures", fail)
    assert (get().status_code, get().content) == (503, b"")


# --- What is told ---
def test_an_empty_database_has_counts_of_zero_and_no_ages():
    found = told()
    assert found["billing_outbox_messages pending"] == found["billing_outbox_messages dead"] == 0
    assert found["billing_incidents_open"] == found["billing_requests_blocked_total"] == 0
    assert not [name for name in found if name.endswith("_seconds")]
    assert "billing_canary_blocked" not in found


def test_the_queue_to_stripe_by_status_and_age():
    close_month()
    found = told()
    assert found["billing_outbox_messages pending"] == OutboxMessage.objects.count() == 2
    assert found["billing_outbox_oldest_seconds"] == 3 * 3600
    OutboxMessage.objects.update(status=MessageStatus.DEAD)
    found = told()
    assert (found["billing_outbox_messages dead"], found["billing_outbox_messages pending"]) == (2, 0)
    assert "billing_outbox_oldest_seconds" not in found
    OutboxMessage.objects.update(status=MessageStatus.DONE)
    assert not [name for name, value in told().items() if name.startswith("billing_outbox") and value]


def test_the_inbox_by_status_age_and_silence():
    event("evt_1", at=NOW - timedelta(minutes=10))
    event("evt_2", "quarantined", at=NOW - timedelta(days=3))
    event("evt_3", "dead", at=NOW - timedelta(days=4))
    event("evt_4", "done", at=NOW - timedelta(minutes=5))
    found = told()
    assert [found[f"billing_inbox_events {each}"] for each in ("pending", "quarantined", "dead")] == [1, 1, 1]
    assert found["billing_inbox_oldest_seconds"] == 600
    assert found["billing_inbox_silence_seconds"] == 300


def test_invoices_that_stripe_is_to_collect_and_those_it_is_silent_about():
    first, second = close_month(), close_month()
    for number, invoice in enumerate((first, second)):
        Invoice.objects.filter(pk=invoice.pk).update(
            status=InvoiceStatus.SENT, sent_at=NOW - timedelta(days=2), stripe_invoice_id=f"in_{number}"
        )
    event("evt_1", "done", about="in_0")
    assert (told()["billing_invoices sent"], told()["billing_sent_without_news"]) == (2, 1)
    Invoice.objects.filter(pk=second.pk).update(sent_at=NOW - timedelta(hours=23))
    assert told()["billing_sent_without_news"] == 0
    Invoice.objects.filter(pk=second.pk).update(status=InvoiceStatus.FAILED, failed_at=NOW)
    assert (told()["billing_invoices sent"], told()["billing_invoices failed"]) == (1, 1)


def test_parked_offices_by_reason_and_overdue_cycles(clock):
    invoice = close_month()
    assert told()["billing_cycles_overdue"] == 0
    clock.move_to(NOW + timedelta(days=40))
    assert told()["billing_cycles_overdue"] == 1
    park_office(office_id=invoice.office_id, code=ParkingCode.COUNT_DIFFERS, actor=ACTOR, now=NOW)
    found = told()
    assert found["billing_offices_parked count_differs"] == 1
    assert sum(value for name, value in found.items() if name.startswith("billing_offices_parked")) == 1
    assert found["billing_cycles_overdue"] == 0  # it stands for a reason that is told already


def test_blocked_requests_open_incidents_and_the_canary():
    incident()
    incident(disposed_at=NOW, disposed_by="x", disposition="drill", alerted_at=NOW)
    incident(call_site="canary", alerted_at=NOW)
    CanaryRun.objects.create(at=NOW - timedelta(hours=2), blocked=True)
    found = told()
    assert found["billing_requests_blocked_total"] == 2
    assert (found["billing_incidents_open"], found["billing_alerts_waiting"]) == (2, 1)
    assert (found["billing_canary_age_seconds"], found["billing_canary_blocked"]) == (7200, 1)
    CanaryRun.objects.create(at=NOW, blocked=False)
    assert told()["billing_canary_blocked"] == 0


def test_the_last_run_that_ended_and_one_that_has_not():
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    run = BillingRun.objects.get()
    BillingRun.objects.filter(pk=run.pk).update(
        started_at=NOW - timedelta(minutes=62), finished_at=NOW - timedelta(hours=1)
    )
    found = told()
    assert (found["billing_run_age_seconds"], found["billing_run_duration_seconds"]) == (3600, 120)
    assert "billing_run_unfinished_seconds" not in found
    BillingRun.objects.create(as_of=NOW, actor=ACTOR, started_at=NOW - timedelta(seconds=30))
    assert told()["billing_run_unfinished_seconds"] == 30
    assert told()["billing_run_age_seconds"] == 3600


def test_no_label_and_no_word_is_an_id_or_of_an_office():
    invoice = close_month()
    park_office(office_id=invoice.office_id, code=ParkingCode.COUNT_DIFFERS, actor=ACTOR, now=NOW)
    text = get().content.decode()
    ids = [invoice.pk, invoice.office_id, invoice.office.reference, *Patient.objects.values_list("pk", flat=True)]
    assert [each for each in ids if str(each) in text] == []
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|[0-9]{4}-[0-9]{2}", text)


# --- At what cost ---
def test_a_scrape_asks_few_questions_however_many_rows_there_are():
    asked = []
    for _ in range(2):
        close_month()
        with CaptureQueriesContext(connection) as statements:
            get()
        asked.append(len(statements))
    assert asked[0] == asked[1] <= 20


@pytest.mark.postgresql
def test_on_postgresql_the_large_tables_are_read_by_index():
    """With scans forbidden where an index can answer, no plan of the figures scans a table that grows for ever."""
    close_month()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        with CaptureQueriesContext(connection) as statements:
            operating_figures(now=NOW)
        plans = []
        for statement in statements.captured_queries:
            cursor.execute(f"EXPLAIN {statement['sql']}")
            plans.append("\n".join(row[0] for row in cursor.fetchall()))
    scanned = re.findall(r"Seq Scan on (\w+)", "\n".join(plans))
    assert not {"billing_outboxmessage", "billing_stripeevent", "billing_invoice"} & set(scanned)


# --- What is done with it ---
def rules():
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def names_told():
    close_month()
    incident()
    event("evt_1")
    CanaryRun.objects.create(at=NOW, blocked=True)
    run_due(as_of=CLOSED_AT, actor=ACTOR, now=CLOSED_AT)
    BillingRun.objects.create(as_of=NOW, actor=ACTOR, started_at=NOW)
    return {name.partition(" ")[0] for name in told()}


def test_every_alert_is_about_a_metric_there_is_and_says_why():
    known = names_told()
    for rule in rules():
        used = set(re.findall(r"\bbilling_\w+", rule["expr"]))
        assert used <= known, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "why", "do"} <= set(rule["annotations"])


def test_every_alert_has_a_procedure_and_every_procedure_an_alert():
    page = (PROJECT / "docs/operations/alerts.md").read_text(encoding="utf-8")
    procedures = dict(re.findall(r"^## (\w+)\n\n(page|ticket)\. ", page, re.MULTILINE))
    assert procedures == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operations/alerts.md#{rule['alert'].lower()}"


def test_every_panel_shows_metrics_there_are_by_labels_that_are_told():
    panels, labels = DASHBOARD["panels"], set()
    shown = [target for panel in panels for target in panel["targets"]]
    used = {name for target in shown for name in re.findall(r"\bbilling_\w+", target["expr"])}
    assert used == names_told() - {"billing_requests_blocked"}
    for family in text_string_to_metric_families(get().content.decode()):
        labels |= {name for sample in family.samples for name in sample.labels}
    assert {name for target in shown for name in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= labels
    corners = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(corners)) == len(panels) == len({panel["id"] for panel in panels})


def test_open_discrepancies_are_counted_by_kind():
    invoice = close_month()
    kind = DiscrepancyKind.values[0]
    for number, ended in enumerate((None, None, NOW)):
        Discrepancy.objects.create(
            kind=kind, subject=f"invoice:{number}", office=invoice.office, repair=RepairKind.values[0], found_at=NOW,
            last_seen_at=NOW, ended_at=ended, ended_by="staff:7" if ended else "", status="gone" if ended else "open",
        )  # fmt: skip
    assert told()[f"billing_discrepancies_open {kind}"] == 2


def test_every_metric_is_explained_to_the_operator():
    page = (PROJECT / "docs/operators.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(billing_\w+)", page, re.MULTILINE))
    assert explained == names_told()


def test_every_alert_uses_only_labels_that_are_told():
    text = get().content.decode()
    for rule in rules():
        for value in re.findall(r'\{\w+="(\w+)"\}', rule["expr"]):
            assert f'="{value}"' in text, rule["alert"]
