"""Rotation of the field keys: everything is written again, nothing is unreadable meanwhile, and it may be killed."""

import threading
import time

import pytest
from django.apps import apps
from django.db import connection, transaction

from audit.models import AuditEntry
from billing.models import HostedInvoicePage, Invoice
from offices import key_rotation
from offices.encryption import KeyRing, blind_index, blind_indexes
from offices.models import OfficeStripeAccount
from patients.identity import PatientIdentity
from patients.identity_rotation import all_columns, rotate_field_keys
from patients.registration import find_identities
from tests.builders import ACTOR
from tests.offices.rotation_scene import CUSTOMER, NEW, NOW, OLD, full_office, identity, key_ids, stored_texts, use_keys

postgresql = pytest.mark.postgresql


@pytest.fixture(autouse=True)
def old_key(settings):
    use_keys(settings, OLD)


def rotate(**options):
    return rotate_field_keys(actor=ACTOR, now=NOW, progress=lambda _done, _total: None, **options)


def read_everything(office, patients=3):
    """Read every secret and look every value up; return what was read, raise when anything is not found."""
    account = OfficeStripeAccount.objects.get(office=office)
    digests = [index.digest for index in blind_indexes(account.customer_id, context=CUSTOMER)]
    assert OfficeStripeAccount.objects.get(customer_index__in=digests).pk == office.pk
    found = find_identities({(office.pk, identity(number).external_id) for number in range(patients)})
    assert len(found) == patients
    return (
        account.customer_id,
        account.subscription_id,
        sorted(row.open().external_id for row in found.values()),
        sorted(HostedInvoicePage.objects.filter(invoice__office=office).values_list("url", flat=True)),
        sorted(Invoice.objects.filter(office=office).values_list("internal_note", flat=True)),
    )


@pytest.mark.django_db
def test_everything_is_written_again_and_counted_by_column(settings):
    office = full_office()
    before = read_everything(office)
    use_keys(settings, NEW, OLD)
    rotation = rotate()
    counted = {label: rows for label, rows in rotation.rewritten.items() if rows}
    assert counted == {
        "offices.officestripeaccount.customer_id": 1,
        "offices.officestripeaccount.subscription_id": 1,
        "offices.officestripeaccount.customer_index": 1,
        "offices.officestripeaccount.subscription_index": 1,
        "billing.invoice.internal_note": 3,
        "billing.hostedinvoicepage.url": 3,
        "patients.patientidentity.data_key": 3,
        "patients.patientidentity.external_id_index": 3,
        "patients.patienttoken": 3,
    }
    assert (rotation.unreadable, rotation.busy) == ([], {})
    assert key_ids() == {KeyRing((NEW,)).writing_key_id}
    assert read_everything(office) == before


@pytest.mark.django_db
def test_after_it_the_old_key_can_be_dropped(settings):
    office = full_office()
    before = read_everything(office)
    use_keys(settings, NEW, OLD)
    rotate()
    use_keys(settings, NEW)
    assert read_everything(office) == before


@pytest.mark.django_db
def test_without_it_the_old_key_cannot_be_dropped(settings):
    office = full_office()
    use_keys(settings, NEW)
    with pytest.raises(Exception, match="key"):
        read_everything(office)


@pytest.mark.django_db
def test_a_second_run_finds_nothing_and_writes_nothing(settings):
    full_office()
    use_keys(settings, NEW, OLD)
    rotate()
    before, entries = stored_texts(), AuditEntry.objects.count()
    assert sum(rotate().rewritten.values()) == 0
    assert stored_texts() == before
    assert AuditEntry.objects.count() == entries


@pytest.mark.django_db
def test_a_dry_run_counts_the_same_and_writes_nothing(settings):
    full_office()
    use_keys(settings, NEW, OLD)
    before, entries = stored_texts(), AuditEntry.objects.count()
    would = rotate(dry_run=True).rewritten
    assert (stored_texts(), AuditEntry.objects.count()) == (before, entries)
    assert would == rotate().rewritten


@pytest.mark.django_db
def test_the_run_is_audited_once_with_numbers_only(settings):
    full_office()
    use_keys(settings, NEW, OLD)
    rotate()
    entry = AuditEntry.objects.get(action="field_keys.rotated")
    assert (entry.stream, entry.actor) == ("keys", ACTOR)
    assert '"billing.invoice.internal_note":3' in entry.payload
    assert not any(secret in entry.payload for secret in ("cus_", "MRN", "note 0", "https"))


@pytest.mark.django_db
def test_every_encrypted_column_of_every_app_is_among_those_rotated():
    """A new EncryptedTextField is found by itself; a new blind index has to be listed, and this names it."""
    labels = {column.label for column in all_columns()}
    tables = set(stored_texts())
    assert {f"{column.model._meta.db_table}.{column.guard}" for column in all_columns()} >= tables
    indexes = {
        f"{model._meta.label_lower}.{field.name.removesuffix('_key')}"
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if field.name.endswith("_index_key")
    }
    assert indexes <= labels


# --- Rows that cannot be read ---
@pytest.mark.django_db
def test_a_row_that_no_key_reads_is_named_by_id_and_the_others_are_done(settings):
    full_office()
    victim = Invoice.objects.order_by("pk")[1]
    with connection.cursor() as cursor:
        garbage = KeyRing(("a key that nobody has any more, 0123456789",)).encrypt("x", context="c")
        cursor.execute(
            "UPDATE billing_invoice SET internal_note = %s WHERE id = %s",
            [garbage, Invoice._meta.pk.get_db_prep_value(victim.pk, connection)],
        )
    use_keys(settings, NEW, OLD)
    for _ in range(2):
        rotation = rotate()
        assert [(each.column, each.row) for each in rotation.unreadable] == [
            ("billing.invoice.internal_note", str(victim.pk))
        ]
        assert rotation.busy == {}
    assert Invoice.objects.exclude(pk=victim.pk).count() == 2  # read, so decrypted
    assert garbage in stored_texts()["billing_invoice.internal_note"]


@pytest.mark.django_db
def test_an_index_whose_value_cannot_be_read_is_left_as_it_is(settings):
    full_office(patients=1)
    PatientIdentity.objects.update(sealed="1:000000000000:AAAA")
    before = PatientIdentity.objects.values_list("external_id_index", "external_id_index_key").get()
    use_keys(settings, NEW, OLD)
    assert [each.column for each in rotate().unreadable] == ["patients.patientidentity.external_id_index"]
    assert PatientIdentity.objects.values_list("external_id_index", "external_id_index_key").get() == before


# --- Killed, and among writers ---
class Killed(BaseException):
    pass


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_killed_goes_on_where_it_was(settings, monkeypatch):
    monkeypatch.setattr(key_rotation, "_BATCH", 2)
    office = full_office(patients=5, invoices=7)
    before = read_everything(office, 5)
    use_keys(settings, NEW, OLD)
    done = 0
    for steps in (1, 2, 3, 1):
        calls = iter(range(steps))

        def killed_after(_done, _total, calls=calls):
            if next(calls, None) is None:
                raise Killed

        with pytest.raises(Killed):
            rotate_field_keys(actor=ACTOR, now=NOW, progress=killed_after)
        assert read_everything(office, 5) == before
        new = sum(
            text.split(":")[1] == KeyRing((NEW,)).writing_key_id for some in stored_texts().values() for text in some
        )
        assert new > done
        done = new
    left = rotate().rewritten
    assert left["billing.invoice.internal_note"] == 0  # finished by the killed runs
    assert left["patients.patienttoken"] == 5  # not reached by them
    assert key_ids() == {KeyRing((NEW,)).writing_key_id}
    use_keys(settings, NEW)
    assert read_everything(office, 5) == before


@pytest.mark.django_db
def test_a_value_that_a_writer_changed_meanwhile_is_not_overwritten(settings):
    """The update names what it read: a writer that came between wins, and the next run has nothing left to do."""
    full_office(invoices=1)
    use_keys(settings, NEW, OLD)
    (column,) = [each for each in all_columns() if each.label == "billing.invoice.internal_note"]
    (row,) = key_rotation._behind(column).values("pk", "stored_internal_note")
    read = {"pk": row["pk"], "internal_note": row["stored_internal_note"]}
    Invoice.objects.update(internal_note="the writer's words")
    assert key_rotation._update(column, [(read, column.rewrite(read))]) == 0
    assert Invoice.objects.get().internal_note == "the writer's words"


@pytest.mark.django_db
def test_amid_a_rotation_a_lookup_finds_rows_of_either_key(settings):
    first, second = full_office(patients=0), full_office(patients=0)
    use_keys(settings, NEW, OLD)
    (index,) = [each for each in all_columns() if each.label == "offices.officestripeaccount.customer_index"]
    key_rotation._rewrite(index, [first.pk], waiting=False, dry_run=False)
    keys = set(OfficeStripeAccount.objects.values_list("customer_index_key", flat=True))
    assert len(keys) == 2
    for office in (first, second):
        assert read_everything(office, 0)[0] == f"cus_{office.pk.hex}"


def until(over, act, failures):
    """Return a thread that acts again and again, on a connection of its own, and keeps what it fails with."""

    def work():
        try:
            while not over.is_set():
                act()
        except Exception as error:  # noqa: BLE001 - the test judges it
            failures.append(error)
        finally:
            connection.close()

    return threading.Thread(target=work)


@pytest.mark.django_db(transaction=True)
@postgresql
def test_no_read_fails_and_no_write_is_lost_while_the_keys_rotate(settings, monkeypatch):
    monkeypatch.setattr(key_rotation, "_BATCH", 5)
    office = full_office(patients=40, invoices=60)
    before = read_everything(office, 40)
    use_keys(settings, NEW, OLD)
    rotated, reads, writes, failures = threading.Event(), [], [], []
    invoices = list(Invoice.objects.order_by("pk").values_list("pk", flat=True))

    def read():
        read_everything(office, 40)
        reads.append(1)

    def write():
        pk, text = invoices[len(writes) % len(invoices)], f"written {len(writes)}"
        Invoice.objects.filter(pk=pk).update(internal_note=text)
        writes.append((pk, text))

    threads = [until(rotated, act, failures) for act in (read, read, write)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    rotation = rotate()
    time.sleep(0.2)
    rotated.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(reads) > 5
    assert rotation.busy == {}
    assert key_ids() == {KeyRing((NEW,)).writing_key_id}
    for pk, text in dict(writes).items():
        assert Invoice.objects.get(pk=pk).internal_note == text
    assert read_everything(office, 40)[:4] == before[:4]


@pytest.mark.django_db(transaction=True)
@postgresql
@pytest.mark.parametrize("held", [1, None], ids=["released in time", "held on"])
def test_a_row_that_somebody_holds_is_waited_for_in_the_end_or_counted_as_busy(settings, monkeypatch, held):
    monkeypatch.setattr(key_rotation, "LOCK_TIMEOUT", "2s" if held else "200ms")
    full_office()
    middle = Invoice.objects.order_by("pk").values_list("pk", flat=True)[1]
    use_keys(settings, NEW, OLD)
    locked, release = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Invoice.objects.select_for_update().get(pk=middle)
            locked.set()
            release.wait(held)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(5)
    rotation = rotate()
    release.set()
    holder.join(5)
    rewritten = rotation.rewritten["billing.invoice.internal_note"]
    if held:
        assert (rewritten, rotation.busy) == (3, {})
    else:
        assert (rewritten, rotation.busy) == (2, {"billing.invoice.internal_note": 1})
        assert rotate().rewritten["billing.invoice.internal_note"] == 1


@pytest.mark.django_db
def test_rotating_back_and_forth_changes_no_index_for_good(settings):
    full_office(patients=0)
    before = OfficeStripeAccount.objects.values_list("customer_index", "customer_index_key").get()
    use_keys(settings, NEW, OLD)
    rotate()
    moved = OfficeStripeAccount.objects.values_list("customer_index", "customer_index_key").get()
    assert moved == tuple(
        getattr(blind_index(OfficeStripeAccount.objects.get().customer_id, context=CUSTOMER), name)
        for name in ("digest", "key_id")
    )
    use_keys(settings, OLD, NEW)
    rotate()
    assert OfficeStripeAccount.objects.values_list("customer_index", "customer_index_key").get() == before
