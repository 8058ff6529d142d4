"""The commands, the task and the schedule of the audit trail."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from audit import signing
from audit.chain import verify
from audit.models import AuditEntry, Checkpoint, StreamHead
from billing import tasks
from billing.activation import activate_patient
from billing.minimization.audit_disclosure import SHOWN, may_show
from billing_project.celery import app
from tests.audit.conftest import tell
from tests.billing.scenes import due_office
from tests.builders import make_office, make_patient
from tests.tampering import lift_rules
from tests.test_documentation import product_source

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = 0
        try:
            call_command(*map(str, arguments), "--json")
        except SystemExit as left:
            code = left.code
        return code, json.loads(capsys.readouterr().out)

    return run


def test_a_checkpoint_is_made_once_and_then_nothing_has_changed(run):
    tell("office:clinic-1", "a.opened")
    code, told = run("checkpoint_audit")
    assert (code, told["counts"]) == (0, {"checkpoints_made": 1, "streams_sealed": 1, "refused": 0})
    assert told["fingerprint"] == signing.fingerprint(signing.public_keys()[0])
    assert run("checkpoint_audit")[1]["counts"] == {"checkpoints_made": 0, "streams_sealed": 0, "refused": 0}


def test_what_cannot_be_sealed_needs_attention(run):
    tell("office:clinic-1", "a.opened")
    StreamHead.objects.update(seq=7)
    code, told = run("checkpoint_audit")
    assert code == 1
    assert told["problems"] == [{"code": "head_seal_invalid", "message": "stream office:clinic-1, position 7"}]


def test_a_break_is_named_by_stream_position_and_code(run):
    tell("office:clinic-1", "a.opened", "b.changed")
    run("checkpoint_audit")
    lift_rules("audit_auditentry")
    AuditEntry.objects.all().delete()
    StreamHead.objects.all().delete()
    code, told = run("verify_audit_chain")
    assert code == 1
    assert told["problems"] == [{"code": "stream_missing", "message": "stream office:clinic-1, position 2"}]
    assert run("verify_audit_chain", "--stream", "office:clinic-1")[0] == 1  # it is known by its checkpoint


def test_missing_anchors_and_unknown_streams_are_wrong_arguments(tmp_path):
    for arguments in (["--anchors", tmp_path / "none"], ["--stream", "office:none"]):
        with pytest.raises(CommandError) as error:
            call_command("verify_audit_chain", *map(str, arguments))
        assert error.value.returncode == 2


def test_an_export_is_not_written_over_another_nor_where_nothing_can_be(run, tmp_path):
    tell("office:clinic-1", "a.opened")
    assert run("export_audit", "--out", tmp_path / "export")[0] == 0
    for folder in (tmp_path / "export", tmp_path / "no" / "export"):
        with pytest.raises(CommandError) as error:
            call_command("export_audit", "--out", str(folder))
        assert error.value.returncode == 2


def test_a_dry_run_of_an_export_counts_and_writes_nothing(run, tmp_path):
    tell("office:clinic-1", "invoice.closed", "patient.activated")
    code, told = run("export_audit", "--out", tmp_path / "export", "--dry-run")
    assert (code, told["counts"]["entries"], told["counts"]["withheld"]) == (0, 2, 1)
    assert not (tmp_path / "export").exists()
    assert not Checkpoint.objects.exists()


def test_a_billing_run_ends_with_a_checkpoint(run):
    due_office()
    assert run("run_billing_cycle", "--dry-run")[0] == 0
    assert not Checkpoint.objects.exists()
    assert run("run_billing_cycle")[0] == 0
    assert Checkpoint.objects.get().entries == AuditEntry.objects.count() > 0


def test_the_hourly_task_ends_with_a_checkpoint_and_beat_makes_one_every_minute():
    due_office()
    tasks.run_billing()
    assert Checkpoint.objects.get().entries == AuditEntry.objects.count() > 0
    beat = app.conf.beat_schedule["checkpoint-audit"]
    assert (beat["task"], beat["schedule"]) == ("billing.tasks.checkpoint_audit", 60.0)


def test_the_task_logs_that_something_is_refused_and_does_not_say_what(caplog):
    tell("office:clinic-1", "a.opened")
    StreamHead.objects.update(seq=7)
    tasks.checkpoint_audit()
    assert "audit_not_sealed" in caplog.text
    assert "clinic-1" not in caplog.text


def test_an_export_of_real_work_names_no_account(run, tmp_path):
    office = make_office()
    patient = make_patient(office)
    activate_patient(
        office_id=office.pk, patient_id=patient.pk, actor="staff:7", now=timezone.now() - timedelta(seconds=1)
    )  # fmt: skip
    assert run("export_audit", "--out", tmp_path / "export")[0] == 0
    entries = (tmp_path / "export" / "entries.jsonl").read_text()
    assert "cycle.opened" in entries
    assert "patient" not in entries.replace("patients.imported", "")
    assert not [path for path in (tmp_path / "export").iterdir() if str(patient.pk) in path.read_text()]
    assert verify()[1] == []


def test_only_actions_that_exist_and_are_not_about_a_person_are_shown():
    source = product_source()
    assert [action for action in SHOWN if f'"{action}"' not in source.replace("audit_disclosure", "")] == []
    assert not [action for action in SHOWN if action.startswith(("patient.", "identity."))]
    assert may_show("invoice.closed", '{"invoice":"i"}')
    for payload in ('{"patient":"x"}', "no JSON", "[]"):
        assert not may_show("invoice.closed", payload)
    assert not may_show("patient.activated", "{}")
