"""The import of offices: what is written, what is refused, and that a second time changes nothing."""

from datetime import UTC, date, datetime

import pytest
from django.db import IntegrityError

from audit.chain import verify
from audit.models import AuditEntry
from audit.seal import instant
from billing import office_import
from billing.office_import import import_offices
from offices.import_findings import ImportClash
from offices.models import BEGINNING, Office, OfficePlan, OfficeStatusChange, OfficeZone, Plan
from offices.office_rows import COLUMNS
from offices.timeline import load_timelines
from tests.patients.csv_files import write

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTHING = dict.fromkeys((*office_import.COUNTS, "rejected"), 0)


def clinic(reference="clinic-1", **cells):
    return dict.fromkeys(COLUMNS, "") | {
        "reference": reference, "name": "Summit Chiropractic", "billing_email": "billing@summit.example",
        "timezone": "America/New_York", "billing_cycle_anchor_date": "2025-01-31",
    } | cells  # fmt: skip


@pytest.fixture
def take(tmp_path):
    def take(*rows, **options):
        path = write(tmp_path / "offices.csv", rows, COLUMNS)
        return import_offices(**{"path": path, "actor": "test", "now": NOW} | options)

    return take


def _counts(summary, **expected):
    assert dict(summary.counts) == NOTHING | expected, summary.problems


def _problems(summary):
    return [(problem.row, problem.field, problem.code) for problem in summary.problems]


def _holding(office, at=NOW):
    timeline = load_timelines([office.pk])[office.pk]
    return timeline.status_at(at), timeline.zone_at(at), Plan.objects.get(pk=timeline.plan_at(at)).code


# --- New offices ---
def test_what_a_new_office_starts_with_holds_since_before_any_record(take):
    _counts(take(clinic(subscription_status="trialing")), rows=1, offices_created=1)
    office = Office.objects.get()
    assert (office.name, office.billing_email) == ("Summit Chiropractic", "billing@summit.example")
    assert (office.billing_cycle_anchor_date, office.created_at) == (date(2025, 1, 31), NOW)
    assert _holding(office, BEGINNING) == ("trialing", "America/New_York", "standard")
    for model in (OfficeStatusChange, OfficeZone, OfficePlan):
        assert model.objects.get().effective_at == BEGINNING


def test_empty_cells_are_the_defaults(take):
    take(clinic(billing_email=""))
    office = Office.objects.get()
    assert (office.collection_method, office.billing_email) == ("send_invoice", "")
    assert _holding(office) == ("active", "America/New_York", "standard")


def test_past_due_is_stored_as_active_with_a_warning_that_does_not_fail(take):
    summary = take(clinic(subscription_status="past_due"))
    _counts(summary, rows=1, offices_created=1)
    assert _problems(summary) == [(2, "subscription_status", "past_due_is_derived")]
    assert _holding(Office.objects.get())[0] == "active"


def test_an_office_without_reference_gets_one_and_is_found_by_name_and_email_next_time(take):
    first = take(clinic(""), clinic("", name="Lakeside"))
    _counts(first, rows=2, offices_created=2)
    references = {office.name: office.reference for office in Office.objects.all()}
    assert first.notes == (
        f"row 2 is {references['Summit Chiropractic']}, a new office",
        f"row 3 is {references['Lakeside']}, a new office",
    )
    second = take(clinic("", name="Lakeside", plan="standard"), clinic("", subscription_status="canceled"))
    _counts(second, rows=2, offices_updated=1, unchanged=1)
    assert second.notes == (f"row 2 is {references['Lakeside']}", f"row 3 is {references['Summit Chiropractic']}")


# --- Known offices ---
def test_a_second_import_changes_nothing_and_says_so(take):
    rows = [clinic(), clinic("clinic-2", subscription_status="past_due"), clinic("", name="Lakeside")]
    take(*rows)
    before = _everything()
    _counts(take(*rows, now=LATER), rows=3, unchanged=3)
    assert _everything() == before


def test_columns_that_differ_are_updated_and_counted_by_office(take):
    take(clinic(), clinic("clinic-2"))
    changed = clinic(name="Harbor", billing_email="pay@harbor.example", collection_method="charge_automatically")
    _counts(take(changed, clinic("clinic-2")), rows=2, offices_updated=1, unchanged=1)
    office = Office.objects.get(reference="clinic-1")
    assert (office.name, office.billing_email, office.collection_method) == (
        "Harbor", "pay@harbor.example", "charge_automatically",
    )  # fmt: skip


def test_status_zone_and_plan_change_from_now_on_and_the_past_stays(take):
    Plan.objects.create(code="premium", name="Premium")
    take(clinic())
    take(clinic(subscription_status="canceled", timezone="America/Chicago", plan="premium"), now=LATER)
    office = Office.objects.get()
    assert _holding(office, NOW) == ("active", "America/New_York", "standard")
    assert _holding(office, LATER) == ("canceled", "America/Chicago", "premium")
    take(clinic(subscription_status="inactive", timezone="America/Denver"), now=LATER)
    assert _holding(office, LATER) == ("inactive", "America/Denver", "standard")


def test_the_anchor_may_change_until_the_first_cycle_has_opened(take):
    take(clinic())
    _counts(take(clinic(billing_cycle_anchor_date="2025-02-15")), rows=1, offices_updated=1)
    Office.objects.update(first_cycle_opened_at=NOW)
    refused = take(clinic(billing_cycle_anchor_date="2025-03-15", name="Harbor"))
    assert _problems(refused) == [(2, "billing_cycle_anchor_date", "anchor_fixed")]
    assert "fixed once the first cycle has opened" in refused.problems[0].message
    assert Office.objects.get().billing_cycle_anchor_date == date(2025, 2, 15)
    assert Office.objects.get().name == "Summit Chiropractic"


def test_each_office_that_changed_gets_one_entry_without_name_or_email(take):
    take(clinic())
    take(clinic(name="Harbor", billing_email="pay@harbor.example", subscription_status="canceled"))
    assert list(AuditEntry.objects.order_by("seq").values_list("stream", "action", "payload")) == [
        (
            "office:clinic-1",
            "office.imported",
            '{"billing_cycle_anchor_date":"2025-01-31","changed":"billing_cycle_anchor_date,billing_email,'
            'collection_method,name,plan,status,timezone","collection_method":"send_invoice","plan":"standard",'
            '"since":"2000-01-01T00:00:00.000000Z","status":"active","timezone":"America/New_York"}',
        ),
        (
            "office:clinic-1",
            "office.updated",
            f'{{"changed":"billing_email,name,status","since":"{instant(NOW)}","status":"canceled"}}',
        ),
    ]
    assert verify() == (2, [])


def test_a_dry_run_counts_the_same_and_writes_nothing(take):
    summary = take(clinic(""), dry_run=True)
    _counts(summary, rows=1, offices_created=1)
    assert summary.notes == ("row 2 is a new office",)
    assert not any(_everything())


# --- Refusals ---
@pytest.mark.parametrize(
    ("cells", "field", "code"),
    [
        ({"reference": "clinic 1"}, "reference", "invalid_reference"),
        ({"reference": "clinic-1\n"}, "reference", "invalid_reference"),
        ({"reference": "x" * 65}, "reference", "invalid_reference"),
        ({"reference": "klinik-ä"}, "reference", "invalid_reference"),
        ({"name": ""}, "name", "required"),
        ({"name": "  "}, "name", "required"),
        ({"name": "x" * 201}, "name", "too_long"),
        ({"name": "x\x00"}, "name", "nul_character"),
        ({"billing_email": "billing"}, "billing_email", "invalid_email"),
        ({"billing_email": "a@b@c.example"}, "billing_email", "invalid_email"),
        ({"billing_email": "x" * 250 + "@mail.example"}, "billing_email", "too_long"),
        ({"timezone": ""}, "timezone", "required"),
        ({"timezone": "Eastern"}, "timezone", "unknown_timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone", "unknown_timezone"),
        ({"timezone": "x" * 65}, "timezone", "too_long"),
        ({"billing_cycle_anchor_date": ""}, "billing_cycle_anchor_date", "required"),
        ({"billing_cycle_anchor_date": "31/01/2025"}, "billing_cycle_anchor_date", "invalid_date"),
        ({"billing_cycle_anchor_date": "2025-02-30"}, "billing_cycle_anchor_date", "invalid_date"),
        ({"billing_cycle_anchor_date": "9999-12-31"}, "billing_cycle_anchor_date", "invalid_date"),
        ({"billing_cycle_anchor_date": "0001-01-01"}, "billing_cycle_anchor_date", "invalid_date"),
        ({"subscription_status": "Active"}, "subscription_status", "unknown_status"),
        ({"plan": "gold"}, "plan", "unknown_plan"),
        ({"collection_method": "cash"}, "collection_method", "unknown_collection_method"),
    ],
)
def test_one_bad_cell_refuses_the_file(take, cells, field, code):
    summary = take(clinic("clinic-0"), clinic(**{"reference": "clinic-1"} | cells))
    assert _problems(summary) == [(3, field, code)]
    assert dict(summary.counts) == NOTHING | {"rows": 2, "rejected": 1}
    assert summary.notes == ()
    assert not any(_everything())


@pytest.mark.parametrize("chunk", [1, 1_000])
@pytest.mark.parametrize(
    "rows",
    [
        [clinic(), clinic(name="Harbor")],
        [clinic(""), clinic("")],
        [clinic(), clinic("")],
        [clinic(""), clinic()],
    ],
    ids=["same reference", "same name without reference", "named, then unnamed", "unnamed, then named"],
)
@pytest.mark.parametrize("known", [False, True])
def test_two_rows_about_one_office_are_refused(take, monkeypatch, chunk, rows, known):
    monkeypatch.setattr(office_import, "_CHUNK_ROWS", chunk)
    if known:
        take(clinic())
    assert _problems(take(*rows)) == [(3, "reference", "duplicate_office")]


def test_offices_with_one_name_are_told_apart_by_reference_only(take):
    rows = [clinic("clinic-1"), clinic("clinic-2")]
    _counts(take(*rows), rows=2, offices_created=2)
    _counts(take(*rows), rows=2, unchanged=2)
    assert _problems(take(clinic(""))) == [(2, "reference", "ambiguous_office")]


def test_what_the_database_refuses_comes_out_without_its_values(take, monkeypatch):
    def refuse(*_args, **_options):
        raise IntegrityError("Key (name)=(Summit Chiropractic) already exists")

    monkeypatch.setattr(office_import._Writes, "flush", refuse)
    with pytest.raises(ImportClash) as clash:
        take(clinic())
    assert "Summit" not in str(clash.value)
    assert clash.value.__context__ is None


def test_thousands_of_offices_are_taken_with_some_queries_a_chunk(take, django_assert_max_num_queries):
    rows = [clinic(f"clinic-{number}", name=f"Clinic {number}") for number in range(2_500)]
    _counts(take(*rows), rows=2_500, offices_created=2_500)
    with django_assert_max_num_queries(40):
        _counts(take(*rows), rows=2_500, unchanged=2_500)


def _everything():
    models = (Office, OfficeStatusChange, OfficeZone, OfficePlan, AuditEntry)
    return [list(model.objects.order_by("pk").values()) for model in models]
