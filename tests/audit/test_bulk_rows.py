"""Rows written in bulk are the rows that the ORM would have written, on both databases."""

from datetime import UTC, date, datetime

import pytest

from audit.bulk_rows import insert_all, update_all
from audit.models import AuditEntry, StreamHead
from offices.models import Office, OfficeStatus, OfficeStatusChange, OfficeStripeAccount

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
AWKWARD = 'O\'Brien \\ "Zoë" %s {0} \n :x \u2028'

pytestmark = pytest.mark.django_db


def office(number=1, name=AWKWARD):
    return Office(reference=f"bulk-{number}", name=name, billing_cycle_anchor_date=date(2026, 1, 31), created_at=NOW)


def test_every_kind_of_value_comes_back_as_it_went_in():
    written = office()
    insert_all([written])

    read = Office.objects.get(pk=written.pk)

    assert {field.attname: getattr(read, field.attname) for field in Office._meta.concrete_fields} == {
        field.attname: getattr(written, field.attname) for field in Office._meta.concrete_fields
    }


def test_a_key_made_by_the_database_is_set_on_the_object():
    clinic = office()
    insert_all([clinic])
    changes = [
        OfficeStatusChange(office=clinic, status=status, effective_at=NOW.replace(day=day))
        for day, status in enumerate(OfficeStatus.values, start=1)
    ]

    insert_all(changes)

    stored = dict(OfficeStatusChange.objects.values_list("pk", "status"))
    assert {change.pk: change.status for change in changes} == stored
    assert not any(change._state.adding for change in changes)


def test_encrypted_fields_are_encrypted():
    clinic = office()
    insert_all([clinic])
    insert_all([OfficeStripeAccount(office=clinic, customer_id="cus_1", customer_index="i", created_at=NOW)])

    account = OfficeStripeAccount.objects.get()
    assert account.customer_id == "cus_1"
    assert not OfficeStripeAccount.objects.extra(where=["customer_id = 'cus_1'"]).exists()


def test_many_rows_are_written_in_several_statements_and_updated_by_key():
    heads = [StreamHead(stream=f"s:{number}", seq=number) for number in range(2_500)]
    insert_all(heads)
    for head in heads[1:]:
        head.seq, head.mac = head.seq + 1, AWKWARD

    update_all(heads[1:], ["seq"])

    assert list(StreamHead.objects.order_by("seq").values_list("seq", flat=True)[:3]) == [0, 2, 3]
    assert not StreamHead.objects.exclude(mac="").exists()


def test_nothing_to_write_is_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        insert_all([])
        update_all([], ["seq"])


def test_the_database_still_judges_each_row():
    entry = AuditEntry(stream="s", seq=0, at=NOW, actor="a", action="b", payload="{}", previous="p", digest="d")
    with pytest.raises(Exception, match="audit_entry_positions_start_at_one"):
        insert_all([entry])
