"""`create_api_key`: the key is shown once, and a dry run makes none."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from billing.api_keys import DEFAULT_SCOPES
from billing.models import OfficeApiKey
from tests.billing.api.conftest import Portal


def _run(*arguments):
    out = io.StringIO()
    call_command("create_api_key", *arguments, stdout=out)
    return out.getvalue()


def test_the_printed_key_opens_the_api(office):
    key = json.loads(_run("--office", office.reference, "--name", "portal", "--json"))["key"]
    assert Portal(office, key=key).get("patients").status_code == 200
    assert OfficeApiKey.objects.get().scope_set == DEFAULT_SCOPES
    assert AuditEntry.objects.get(action="api_key.issued").actor == "command:create_api_key"


def test_the_json_has_the_usual_members_and_the_key(office):
    printed = json.loads(_run("--office", office.reference, "--name", "portal", "--json"))
    assert set(printed) == {"command", "ok", "dry_run", "counts", "amounts", "problems", "key"}
    assert (printed["command"], printed["ok"], printed["counts"]) == ("create_api_key", True, {"keys_created": 1})


def test_people_see_the_key_on_a_line_of_its_own(office):
    lines = _run("--office", office.reference, "--name", "portal").splitlines()
    (row,) = OfficeApiKey.objects.all()
    assert [line for line in lines if line.startswith(f"{row.prefix}.")]


def test_a_dry_run_makes_no_key(office):
    printed = json.loads(_run("--office", office.reference, "--name", "portal", "--json", "--dry-run"))
    assert (printed["dry_run"], "key" in printed) == (True, False)
    assert not OfficeApiKey.objects.exists()
    assert not AuditEntry.objects.exists()


def test_scopes_and_expiry_are_the_keys(office):
    _run(
        "--office", office.reference, "--name", "reader", "--scopes", "invoices:read", "patients:read",
        "--expires", "2027-01-01T00:00:00Z",
    )  # fmt: skip
    row = OfficeApiKey.objects.get()
    assert (row.scopes, row.expiry_date.year) == ("invoices:read patients:read", 2027)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--office", "nobody", "--name", "portal"],
        ["--office", "{office}", "--name", ""],
        ["--office", "{office}", "--name", "n" * 51],
        ["--office", "{office}", "--name", "portal", "--expires", "tomorrow"],
        ["--office", "{office}", "--name", "portal", "--expires", "2026-01-01T00:00:00Z"],
        ["--office", "{office}", "--name", "portal", "--scopes", "everything"],
        ["--name", "portal"],
    ],
)
def test_wrong_arguments_are_a_usage_error(office, arguments):
    with pytest.raises(CommandError) as refused:
        _run(*[argument.format(office=office.reference) for argument in arguments])
    assert refused.value.returncode in {1, 2}
    assert not OfficeApiKey.objects.exists()
