"""`rotate_field_keys`: what it prints, and with which code it leaves."""

import json

import pytest
from django.core.management import call_command
from django.db import connection

from billing.models import HostedInvoicePage
from tests.offices.rotation_scene import NEW, OLD, full_office, stored_texts, use_keys

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def between_two_keys(settings):
    use_keys(settings, OLD)
    full_office()
    use_keys(settings, NEW, OLD)


def run(capsys, *options):
    """Return the exit code and the JSON object."""
    code = 0
    try:
        call_command("rotate_field_keys", "--json", *options)
    except SystemExit as left:
        code = left.code
    return code, json.loads(capsys.readouterr().out)


def test_it_counts_rows_by_column_and_the_second_run_counts_nothing(capsys):
    code, printed = run(capsys)
    assert (code, printed["counts"]) == (0, {"rewritten": 19, "unreadable": 0, "busy": 0})
    assert "billing.invoice.internal_note 3" in printed["columns"]
    code, printed = run(capsys)
    assert (code, printed["counts"]) == (0, {"rewritten": 0, "unreadable": 0, "busy": 0})


def test_a_dry_run_says_the_same_and_writes_nothing(capsys):
    before = stored_texts()
    code, printed = run(capsys, "--dry-run")
    assert (code, printed["dry_run"], printed["counts"]["rewritten"]) == (0, True, 19)
    assert stored_texts() == before


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_rows_that_no_key_reads_make_it_leave_with_1_and_name_ids_only(capsys, options):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE billing_hostedinvoicepage SET url = 'https://clear.example/payable'")
    code, printed = run(capsys, *options)
    ids = {str(pk) for pk in HostedInvoicePage.objects.values_list("pk", flat=True)}
    assert (code, printed["ok"], printed["counts"]["unreadable"]) == (1, False, 3)
    assert {problem["message"].rpartition(" ")[2] for problem in printed["problems"]} == ids
    assert "payable" not in json.dumps(printed)
