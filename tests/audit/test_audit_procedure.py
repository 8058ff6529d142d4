"""The auditor's page, followed line by line: every command of it does what the page says."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from django.core.management import call_command

from audit import signing
from audit.export import VERIFIER
from audit.standalone import verify_export
from tests.audit.conftest import tell

PAGE = Path(__file__).resolve().parents[2] / "docs/compliance/audit-procedure.md"

pytestmark = pytest.mark.django_db


def lines_of_the_page() -> list[list[str]]:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


@pytest.fixture
def office(settings, tmp_path, monkeypatch):
    """An office's machine with a trail, the anchors of it, and the auditor's own folder as the present one."""
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "anchors.jsonl")
    tell("office:clinic-007", "invoice.closed", "patient.activated")
    tell("office:clinic-008", "invoice.closed")
    call_command("checkpoint_audit", stdout=(tmp_path / "told").open("w"))
    (tmp_path / "candidates.jsonl").write_text(json.dumps({"method": "GET", "path": "/v1/customers"}) + "\n")
    shutil.copy(VERIFIER, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_page_works_in_its_order(office, capsys):
    fingerprint, codes = signing.fingerprint(signing.public_keys()[0]), []
    assert fingerprint in (office / "told").read_text()
    for words in lines_of_the_page():
        if words[0].startswith("FINGERPRINT="):
            continue
        assert words[0] == "python"
        codes.append((words[2], run([word.replace("$FINGERPRINT", fingerprint) for word in words[1:]])))
    # Nothing happened in that March: the report says that the canary never ran, as it must.
    assert [command for command, code in codes if code] == ["evidence_report"]
    assert len(codes) == 8
    said = capsys.readouterr().out
    assert "The audit chain verifies.\n" in said
    assert "anchors: 1" in said
    assert "Verified." in said
    assert {path.name for path in office.iterdir()} >= {
        "audit-export", "audit-office", "audit-news", "evidence-2026-03.md"
    }  # fmt: skip
    assert verify_export.main(["audit-office", "--fingerprint", fingerprint]) == 0
    assert verify_export.main(["audit-news", "--fingerprint", fingerprint]) == 0


def run(words: list[str]) -> int:
    if words[0] == "verify_export.py":
        assert Path(words[0]).read_bytes() == VERIFIER.read_bytes()
        return verify_export.main(words[1:])
    assert words[0] == "manage.py"
    try:
        call_command(*words[1:])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_the_last_checkpoint_of_an_export_is_an_anchor(office):
    """What the page tells the auditor to keep."""
    call_command("export_audit", "--out", "audit-export")
    fingerprint = signing.fingerprint(signing.public_keys()[0])
    kept = Path("audit-export/checkpoints.jsonl").read_text().splitlines()[-1]
    Path("kept.jsonl").write_text(kept + "\n")
    tell("office:clinic-007", "invoice.closed")
    call_command("export_audit", "--out", "later")
    assert verify_export.main(["later", "--fingerprint", fingerprint, "--anchors", "kept.jsonl"]) == 0
    call_command("verify_audit_chain", "--anchors", "kept.jsonl")
    assert os.listdir("later")
