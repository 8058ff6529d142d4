"""What is exported is allowed, safe to open, complete, and on the record; what is too long is refused."""

import csv
import io
import itertools
import json
import tempfile
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from openpyxl import load_workbook

from audit.models import AuditEntry
from billing.admin.lines import with_currency
from billing.admin.offices import with_status
from billing.exports import export_rows as module
from billing.exports.export_rows import ExportTooLong, export_rows
from billing.exports.formats import CsvFile, XlsxFile, safe
from billing.exports.sheet import Column, ColumnNotAllowed, Sheet
from billing.exports.sheets import SHEETS, InvoiceSheet, LineItemSheet, OfficeSheet
from billing.minimization.classification import CLASSIFICATION, DataClass, class_of
from billing.models import HostedInvoicePage, Invoice, InvoiceStatus, LineItem
from offices.encryption import EncryptedTextField
from offices.models import Office, OfficeStripeAccount
from patients.models import Patient
from tests.billing.scenes import CLOSED_AT, close_month
from tests.builders import make_office, make_patient, utc

NOW = utc("2026-03-20T12:00")
FORMATS = pytest.mark.parametrize("file_format", [CsvFile, XlsxFile])


def export(sheet, queryset=None, file_format=CsvFile, filters=()):
    rows = sheet.model._default_manager.order_by("pk") if queryset is None else queryset
    return export_rows(
        sheet=sheet(), queryset=rows, file_format=file_format(), filters=filters, actor="staff:jo", now=NOW
    )  # fmt: skip


def cells(exported, file_format=CsvFile):
    """Read the file back as a spreadsheet program would."""
    if file_format is CsvFile:
        return list(csv.reader(io.StringIO(exported.file.read().decode("utf-8-sig"))))
    book = load_workbook(exported.file, read_only=True)
    rows = [list(row) for row in book.active.iter_rows(values_only=True)]
    return [row + [None] * (len(rows[0]) - len(row)) for row in rows]  # empty cells at the end are not stored


# --- Which columns ---
@pytest.mark.parametrize("sheet", SHEETS)
def test_no_column_is_of_a_person_or_encrypted(sheet):
    for column in sheet().columns():
        for source in column.sources:
            model = sheet.model
            for name in source.split("__"):
                field = model._meta.get_field(name)
                assert class_of(model, name) is not DataClass.EPHI
                assert not isinstance(field, EncryptedTextField)
                model = field.related_model or model


FORBIDDEN = [
    (LineItem, "patient_reference"), (LineItem, "created_at"), (Invoice, "internal_note"), (Patient, "reference"),
    (HostedInvoicePage, "url"), (OfficeStripeAccount, "customer_id"), (LineItem, "invoice__internal_note"),
]  # fmt: skip


@pytest.mark.parametrize(("forbidden", "path"), FORBIDDEN)
def test_a_sheet_with_a_forbidden_column_cannot_be_made(forbidden, path):
    class Planted(Sheet):
        model, name = forbidden, "planted"
        column = Column(path)

    with pytest.raises(ColumnNotAllowed):
        Planted().columns()


def test_an_annotation_counts_as_what_it_is_made_of():
    class Planted(Sheet):
        model, name = LineItem, "planted"
        column = Column("whose", of=["quantity", "patient_reference"])

    with pytest.raises(ColumnNotAllowed):
        Planted().columns()


def test_a_field_without_a_class_is_not_exported(monkeypatch):
    monkeypatch.setitem(CLASSIFICATION, "billing.Invoice", {})
    with pytest.raises(KeyError):
        InvoiceSheet().columns()


# --- Which cells ---
FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\ufeff=1", "\u00a0=1", "=cmd|' /C calc'!A0",
    "\uff1d1", "\uff0d1", "\uff0b1", "\uff20x", "-2+3+cmd", "\x00=1",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_would_run_is_made_a_text_that_is_read(text):
    assert safe(text).startswith("'")


@pytest.mark.parametrize("text", ["Clinic =1", "a@b.example", "", "Müller & Söhne", "1-2", "'quoted"])
def test_any_other_text_stays_as_it_is(text):
    assert safe(text) == text


@pytest.mark.parametrize("cell", [-200, Decimal("-2.00"), 0, None, date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)])
def test_a_number_or_a_day_stays_what_it_is(cell):
    assert safe(cell) is cell


@FORMATS
@pytest.mark.django_db
def test_an_office_with_a_formula_for_a_name_is_harmless(file_format):
    make_office(reference="-plus", name='=HYPERLINK("http://x.example";"Pay")', billing_email="a@b.example")
    head, row = cells(export(OfficeSheet, _offices(), file_format), file_format)
    told = dict(zip(head, row, strict=True))
    assert told["office"] == "'-plus"
    assert told["name"].startswith("'=HYPERLINK")
    assert told["billing e-mail"] == "a@b.example"


def _offices():
    return with_status(Office.objects.order_by("reference"))


@pytest.mark.django_db
def test_a_spreadsheet_holds_numbers_days_and_texts_as_such():
    invoice = close_month()
    head, row = cells(export(InvoiceSheet, Invoice.objects.filter(pk=invoice.pk), XlsxFile), XlsxFile)
    told = dict(zip(head, row, strict=True))
    assert (told["total"], told["currency"], told["office"]) == (4, "USD", invoice.office.reference)
    assert told["closed (UTC)"] == CLOSED_AT.replace(tzinfo=None)
    assert told["paid (UTC)"] is None
    book = load_workbook(export(InvoiceSheet, Invoice.objects.filter(pk=invoice.pk), XlsxFile).file)
    assert {cell.data_type for cell in book.active[2] if cell.value is not None} == {"s", "n", "d"}  # no "f"


@pytest.mark.django_db
def test_money_is_written_as_decimals_and_adds_up():
    invoice = close_month()
    head, *rows = cells(export(LineItemSheet, _lines(invoice)))
    total = head.index("total")
    assert [row[total] for row in rows] == ["2.00", "2.00"]
    assert sum(Decimal(row[total]) for row in rows) == Decimal(invoice.total_cents) / 100


def _lines(invoice):
    return with_currency(LineItem.objects.filter(invoice=invoice).order_by("pk"))


@FORMATS
@pytest.mark.django_db
def test_lines_leave_without_whose_they_are(file_format):
    invoice = close_month()
    exported = export(LineItemSheet, _lines(invoice), file_format)
    text = str(cells(exported, file_format))
    assert str(invoice.pk) in text
    assert [str(pk) for pk in Patient.objects.values_list("pk", flat=True) if str(pk) in text] == []


# --- On the record, bounded, in few statements and flat memory ---
@FORMATS
@pytest.mark.django_db
def test_who_took_what_is_recorded_in_codes_and_counts(file_format):
    invoice = close_month()
    exported = export(InvoiceSheet, Invoice.objects.filter(pk=invoice.pk), file_format, ["cycle", "status"])
    entry = AuditEntry.objects.get(stream="handed_out")
    assert (exported.rows, entry.action, entry.actor, entry.at) == (1, "rows.exported", "staff:jo", NOW)
    assert json.loads(entry.payload) == {
        "what": "invoices", "format": file_format().get_extension(), "rows": 1, "filters": "cycle,status",
    }  # fmt: skip
    assert invoice.office.reference not in entry.payload


@FORMATS
@pytest.mark.django_db
def test_more_rows_than_a_file_holds_are_refused_before_anything_is_written(file_format, monkeypatch):
    close_month()
    monkeypatch.setitem(module.LONGEST, file_format, 1)
    with pytest.raises(ExportTooLong, match="more than 1 rows"):
        export(LineItemSheet, LineItem.objects.values("pk"), file_format)
    assert not AuditEntry.objects.filter(stream="handed_out").exists()


@pytest.mark.django_db
def test_an_export_that_fails_leaves_no_entry_and_no_file(monkeypatch):
    close_month()
    opened = []

    def opening():
        opened.append(tempfile.TemporaryFile())  # noqa: SIM115 - the export closes it
        return opened[-1]

    monkeypatch.setattr(module, "TemporaryFile", opening)
    monkeypatch.setattr(CsvFile, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(InvoiceSheet)
    assert [file.closed for file in opened] == [True]
    assert not AuditEntry.objects.filter(stream="handed_out").exists()


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.django_db
def test_the_number_of_statements_does_not_grow_with_the_rows(sheet):
    prepare = {"line-items": with_currency, "offices": lambda _rows: _offices()}.get(sheet.name, lambda rows: rows)
    asked = []
    for _ in range(2):
        for _office in range(3):
            close_month()
        with CaptureQueriesContext(connection) as statements:
            export(sheet, prepare(sheet.model._default_manager.order_by("pk")))
        asked.append(len(statements))
    assert asked[1] <= asked[0] <= 12


@pytest.mark.django_db
def test_nothing_is_decrypted(monkeypatch):
    invoice = close_month()
    Invoice.objects.filter(pk=invoice.pk).update(internal_note="call her first")
    monkeypatch.setattr("offices.encryption.KeyRing.decrypt", lambda *_, **__: pytest.fail("decrypted"))
    assert export(InvoiceSheet).rows >= 1


@FORMATS
def test_memory_does_not_grow_with_the_rows(file_format):
    """Ten times the rows, the same peak: lines are made, written and forgotten."""

    def peak(number):
        lines = (["2026-03", index, Decimal("2.00"), f"office-{index}"] for index in range(number))
        with tempfile.TemporaryFile() as file:
            tracemalloc.start()
            assert file_format().write(lines, file) == number
            _now, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    peak(10)
    assert peak(20_000) < peak(2_000) + 1_000_000  # bytes


@pytest.mark.django_db
def test_every_sheet_writes_the_rows_of_a_lived_in_database():
    invoice = close_month()
    make_patient(invoice.office)
    Invoice.objects.create(
        office=invoice.office, invoice_type="one_off", currency="USD", created_at=NOW, updated_at=NOW,
        status=InvoiceStatus.DRAFT,
    )  # fmt: skip
    for sheet, file_format in itertools.product(SHEETS, (CsvFile, XlsxFile)):
        rows = sheet.model._default_manager.order_by("pk")
        rows = with_currency(rows) if sheet is LineItemSheet else _offices() if sheet is OfficeSheet else rows
        head, *body = cells(export(sheet, rows, file_format), file_format)
        assert len(body) == sheet.model._default_manager.count()
        assert head == sheet().headers()
