"""`import_offices` and `import_patients` as an operator meets them: output, exit codes, and no cell in any of it."""

import json
import logging

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from offices.import_findings import SHOWN, ImportClash
from offices.locking import OfficeBusy
from offices.models import Office
from offices.office_rows import COLUMNS as OFFICE_COLUMNS
from patients.models import ActivityPeriod, Patient
from sandbox.demo_data.generate import FOLDER
from tests.patients.csv_files import office, patient, write

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(capsys):
    """Run a command as a shell would; return (exit code, stdout, stderr)."""

    def run(*arguments):
        code, told = 0, ""
        try:
            call_command(*map(str, arguments))
        except SystemExit as left:
            code = left.code
        except CommandError as error:
            code, told = error.returncode, str(error)
        out, err = capsys.readouterr()
        return code, out + told, err

    return run


def _clinic(reference="clinic-1", **cells):
    return dict.fromkeys(OFFICE_COLUMNS, "") | {
        "reference": reference, "name": "Summit", "timezone": "America/New_York",
        "billing_cycle_anchor_date": "2025-01-31",
    } | cells  # fmt: skip


def test_the_demos_clinic_network_is_imported_and_a_second_time_changes_nothing(run):
    code, out, _ = run("import_offices", FOLDER / "offices.csv", "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["command"], told["dry_run"]) == (0, True, "import_offices", False)
    assert told["counts"] == {
        "rows": 40, "offices_created": 40, "offices_updated": 0, "unchanged": 0, "rejected": 0,
    }  # fmt: skip
    assert [(p["row"], p["field"], p["code"]) for p in told["problems"]] == [
        (28, "subscription_status", "past_due_is_derived")
    ]
    rows = (FOLDER / "patients.csv").read_text(encoding="utf-8").count("\n") - 1
    code, out, _ = run("import_patients", FOLDER / "patients.csv", "--json")
    assert (code, json.loads(out)["counts"]) == (0, {
        "rows": rows, "patients_created": 1_200, "periods_created": rows, "periods_ended": 0, "identities_updated": 0,
        "unchanged": 0, "rejected": 0,
    })  # fmt: skip
    assert (Office.objects.count(), Patient.objects.count()) == (40, 1_200)
    assert "Nothing changed: all of it is already here." in run("import_offices", FOLDER / "offices.csv")[1]
    code, out, _ = run("import_patients", FOLDER / "patients.csv")
    assert code == 0
    assert "Nothing changed: all of it is already here." in out
    assert f"unchanged: {rows:,}" in out


def test_a_dry_run_says_so_and_writes_nothing(run, tmp_path):
    office()
    path = write(tmp_path / "p.csv", [patient()])
    code, out, _ = run("import_patients", path, "--dry-run")
    assert code == 0
    assert out.startswith("Dry run: nothing was written")
    assert "patients created: 1" in out
    assert json.loads(run("import_patients", path, "--dry-run", "--json")[1])["dry_run"] is True
    assert not Patient.objects.exists()


def test_what_the_rows_without_reference_became_is_printed_for_people_only(run, tmp_path):
    path = write(tmp_path / "o.csv", [_clinic("clinic-1"), _clinic("", name="Lakeside")], OFFICE_COLUMNS)
    _, out, _ = run("import_offices", path)
    made = Office.objects.get(name="Lakeside").reference
    assert f"row 3 is {made}, a new office\n" in out
    assert "row 2" not in out
    assert "mapping" not in run("import_offices", path, "--json")[1]


def test_rows_that_stand_in_the_way_are_told_and_the_exit_code_is_1(run, tmp_path):
    office()
    path = write(tmp_path / "p.csv", [patient(), patient("MRN-2", start="2025-06-01T00:00:00")])
    code, out, _ = run("import_patients", path)
    assert code == 1
    assert "Nothing was imported" in out
    assert "! row 3, field activated_at, time_without_zone: has no zone" in out
    code, out, _ = run("import_patients", path, "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["counts"]["rejected"], told["counts"]["patients_created"]) == (1, False, 1, 0)
    assert told["problems"] == [
        {
            "row": 3,
            "field": "activated_at",
            "code": "time_without_zone",
            "message": "has no zone; write Z or an offset such as -05:00",
        }
    ]
    assert not ActivityPeriod.objects.exists()


def test_beyond_a_hundred_problems_the_rest_is_counted(run, tmp_path):
    office()
    path = write(tmp_path / "p.csv", [patient(f"MRN-{number}", start="x") for number in range(SHOWN + 1_200)])
    code, out, _ = run("import_patients", path, "--json")
    problems = json.loads(out)["problems"]
    assert (code, len(problems)) == (1, SHOWN + 1)
    assert problems[-1] == {"code": "more_problems", "message": "and 1,200 more that are not shown"}


@pytest.mark.parametrize("command", ["import_offices", "import_patients"])
@pytest.mark.parametrize(
    "content", [None, b"", b"reference,name\n", b"\xff\xfer\x00e\x00f\x00", "Zoë,Nuñez\n".encode()]
)
def test_a_missing_file_or_a_wrong_header_is_exit_code_2(run, tmp_path, command, content):
    path = tmp_path / "some.csv"
    if content is not None:
        path.write_bytes(content)
    code, out, _ = run(command, path)
    assert code == 2
    assert out.startswith("some.csv: ")
    assert "Nuñez" not in out


def test_no_cell_of_a_failing_import_is_printed_or_logged(run, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    office()
    marked = {name: f"Marker{number}" for number, name in enumerate(patient()) if name != "office_reference"}
    rows = [
        patient() | marked,
        patient() | marked | {"activated_at": patient()["activated_at"], "office_reference": "MarkerOffice"},
        patient("MarkerId", first_name="MarkerA"),
        patient("MarkerId", first_name="MarkerB"),
        patient("MarkerId", start="2025-07-01"),
        patient("MarkerLong" * 50, phone="MarkerPhone" * 50, date_of_birth="MarkerBorn"),
    ]
    path = write(tmp_path / "p.csv", rows)
    path.write_bytes(path.read_bytes() + b'Marker\xff,1,2,3,4,5,6,7,8\nMarkerFew\n"Marker"x,MarkerQuote\n')
    for extra in ((), ("--json",), ("--dry-run",)):
        code, out, err = run("import_patients", path, *extra)
        assert code == 1
        assert "Marker" not in out + err + caplog.text
    header = tmp_path / "h.csv"
    header.write_text("Marker1,Marker2\n")
    code, out, err = run("import_patients", header)
    assert (code, "Marker" in out + err) == (2, False)


@pytest.mark.parametrize(
    ("failure", "code"), [(OfficeBusy("busy"), "office_busy"), (ImportClash("import the file again"), "import_clash")]
)
def test_a_clash_with_somebody_else_asks_to_try_again(run, tmp_path, monkeypatch, failure, code):
    def fail(**_options):
        raise failure

    monkeypatch.setattr("billing.management.commands.import_patients.import_patients", fail)
    left, out, _ = run("import_patients", write(tmp_path / "p.csv", [patient()]), "--json")
    assert (left, json.loads(out)["problems"][0]["code"]) == (1, code)


def test_the_clock_of_an_import_is_the_wall_clock(run, tmp_path):
    office()
    soon = (timezone.now() + timezone.timedelta(minutes=5)).isoformat()
    code, out, _ = run("import_patients", write(tmp_path / "p.csv", [patient(start=soon)]), "--json")
    assert (code, json.loads(out)["problems"][0]["code"]) == (1, "future_time")
