"""`bin/drill-restore` proves a backup by its books, and says so when it is none."""

import os
import subprocess
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.checkpoints import make_checkpoint
from audit.models import AuditEntry
from offices.office_rows import COLUMNS
from tests.audit.conftest import tell
from tests.billing.test_workers import database_url
from tests.tampering import execute, lift_rules

PROJECT = Path(__file__).resolve().parent.parent


def drill(*arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [PROJECT / "bin/drill-restore", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.full  # three processes and two databases: half a minute
@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_backup_is_proved_and_one_that_was_rolled_back_or_changed_is_none(settings, tmp_path):
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "anchors.jsonl")
    # Through the product's own door, so that the trail tells of it.
    row = "clinic-1,Spine Center,,America/New_York,2026-01-15,active,,"
    (tmp_path / "offices.csv").write_text(f"{','.join(COLUMNS)}\n{row}\n")
    call_command("import_offices", tmp_path / "offices.csv")
    make_checkpoint(now=timezone.now())
    dump = tmp_path / "dump"
    subprocess.run(["pg_dump", "--format", "custom", "--file", dump, database_url()], check=True)
    ran = drill(dump, "--anchors", settings.AUDIT_ANCHORS_PATH)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr.endswith("The backup is one.\n")

    tell("office:clinic-1", "a.changed")
    make_checkpoint(now=timezone.now())
    late = drill(dump, "--anchors", settings.AUDIT_ANCHORS_PATH)
    assert late.returncode == 1
    assert "checkpoint_missing" in late.stdout

    lift_rules("audit_auditentry")
    execute("UPDATE audit_auditentry SET actor = 'x' WHERE id = %s", AuditEntry.objects.first().pk)
    changed = drill()
    assert changed.returncode == 1
    assert "entry_edited" in changed.stdout
