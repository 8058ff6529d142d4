"""An export proves itself to who has nothing of ours, tells nothing about a patient, and tampering with it shows."""

import json
import shutil
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import transaction

from audit import signing
from audit.chain import Fact, record
from audit.checkpoints import make_checkpoint
from audit.export import VERIFIER, export_trail
from audit.standalone import verify_export
from billing.minimization.audit_disclosure import may_show
from tests.audit.conftest import NOW, tell

pytestmark = pytest.mark.django_db

PATIENT = "5f0c9d3e-1111-4222-8333-444455556666"


def key() -> str:
    return signing.fingerprint(signing.public_keys()[0])


@pytest.fixture
def anchored(settings, tmp_path):
    """Anchors kept in a file."""
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "anchors.jsonl")
    return tmp_path / "anchors.jsonl"


@pytest.fixture
def sealed(anchored, streams):
    """Two streams with a checkpoint in their middle, an entry about a patient, and one at the end."""
    make_checkpoint(now=NOW)
    with transaction.atomic():
        record(Fact(streams[0], "patient.activated", {"patient": PATIENT, "lines": 1}), actor="staff:7", now=NOW)
        record(Fact(streams[1], "invoice.closed", {"invoice": "i-1"}), actor="system:beat", now=NOW + timedelta(days=1))
    make_checkpoint(now=NOW)
    return streams


def export(folder, **scope):
    values = {"streams": None, "since": None, "may_show": may_show, "now": NOW} | scope
    return export_trail(folder=folder, **values)


def found(folder, fingerprints=None, anchors=None) -> set[str]:
    findings, _ = verify_export.verify(folder, fingerprints or {key()}, anchors)
    return {code for _, _, code in findings.breaks}


@pytest.fixture
def folder(sealed, tmp_path):
    export(tmp_path / "export")
    return tmp_path / "export"


def lines(folder, name="entries.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_an_export_verifies_with_the_verifier_that_it_carries_and_nothing_of_ours(folder, anchored, tmp_path):
    ran = subprocess.run(
        [sys.executable, "-I", folder / "verify_export.py", folder, "--fingerprint", key(), "--anchors", anchored],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines() == ["entries: 12", "withheld: 11", "checkpoints: 2", "anchors: 4", "Verified."]


def test_of_a_large_export_several_processes_find_the_same(folder, monkeypatch):
    monkeypatch.setattr(verify_export, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(verify_export, "BATCH", 5)  # of twelve entries
    assert found(folder) == set()
    entries = (folder / "entries.jsonl").read_text().splitlines(keepends=True)
    entries[7] = entries[7].replace('"seq":', '"seq": ').replace('"content":"', '"content":"0')[:-3] + '"}\n'
    entries[10] = entries[10].replace('"seq":5', '"seq":7')
    (folder / "entries.jsonl").write_text("".join(entries))
    findings, _ = verify_export.verify(folder, {key()})
    monkeypatch.setattr(verify_export, "WORTH_PROCESSES", 1_000_000)
    by_one, _ = verify_export.verify(folder, {key()})
    assert sorted(findings.breaks) == sorted(by_one.breaks)
    assert {"file_changed", "line_malformed", "position_missing"} <= {code for _, _, code in findings.breaks}


def test_the_verifier_imports_nothing_but_the_standard_library_and_cryptography():
    imported = [line.split()[1] for line in VERIFIER.read_text().splitlines() if line.startswith(("import ", "from "))]
    assert {name.split(".")[0] for name in imported} - sys.stdlib_module_names == {"cryptography"}


def test_nothing_about_a_patient_is_in_it(folder):
    for path in folder.iterdir():
        text = path.read_text()
        assert PATIENT not in text
        assert path.name in {"README.txt", "verify_export.py"} or "patient" not in text
    shown = [entry for entry in lines(folder) if "content" not in entry]
    assert [entry["action"] for entry in shown] == ["invoice.closed"]
    assert next(set(entry) for entry in lines(folder) if "content" in entry) == {
        "stream", "seq", "content", "previous", "digest"
    }  # fmt: skip


def test_one_stream_is_exported_without_naming_another(sealed, tmp_path):
    done = export(tmp_path / "one", streams=[sealed[0]])
    assert (done.entries, done.streams) == (6, 1)
    assert found(tmp_path / "one") == set()
    assert not [path for path in (tmp_path / "one").iterdir() if sealed[1] in path.read_text()]


def test_an_export_may_begin_at_an_instant(sealed, tmp_path):
    done = export(tmp_path / "late", since=NOW + timedelta(hours=1))
    assert done.entries == 1
    assert found(tmp_path / "late") == set()
    entries = tmp_path / "late" / "entries.jsonl"
    entries.write_text("")
    assert found(tmp_path / "late") == {"file_changed", "stream_missing"}


def test_an_empty_trail_is_exported_too(tmp_path):
    export(tmp_path / "empty")
    assert found(tmp_path / "empty") == set()


def test_a_rotated_key_needs_its_fingerprint_too(sealed, settings, tmp_path):
    old = key()
    settings.AUDIT_SIGNING_KEY = ["a-newer-signing-key-of-enough-length-0123456789", *settings.AUDIT_SIGNING_KEY]
    tell(sealed[0], "g.changed")
    make_checkpoint(now=NOW)
    export(tmp_path / "rotated")
    assert found(tmp_path / "rotated", {old, key()}) == set()
    assert found(tmp_path / "rotated", {key()}) == found(tmp_path / "rotated", {old}) == {"key_not_expected"}


def test_an_older_export_shows_against_anchors_that_were_kept(folder, anchored, sealed, tmp_path):
    assert found(folder, anchors=anchored) == set()
    tell(sealed[0], "g.changed")
    make_checkpoint(now=NOW)
    assert found(folder) == set()  # it was good in its day
    assert found(folder, anchors=anchored) == {"checkpoint_missing"}


# --- Who has the folder, and not the key ---
def test_another_verifier_in_the_folder_shows(folder):
    (folder / "verify_export.py").write_text("print('Verified.')")
    assert found(folder) == {"file_changed"}


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", *verify_export.LINES, *verify_export.ALSO])
def test_a_missing_file_shows(folder, name):
    (folder / name).unlink()
    assert found(folder)


def test_a_file_more_shows(folder):
    (folder / "more.txt").write_text("")
    assert found(folder) == {"file_unexpected"}


def test_an_export_made_anew_with_another_key_shows(sealed, settings, tmp_path):
    ours = key()
    settings.AUDIT_SIGNING_KEY = ["a-forgers-signing-key-of-enough-length-0123456789"]
    export(tmp_path / "forged")
    assert found(tmp_path / "forged", {ours}) == {"key_not_expected"}


def test_wrong_arguments_are_told_as_such(folder, tmp_path, capsys):
    for words in (["export"], ["export", "--fingerprint", "x"], ["no", "--fingerprint", key()]):
        arguments = [str(tmp_path / words[0]), *words[1:]]
        with pytest.raises(SystemExit) as left:
            verify_export.main(arguments)
        assert left.value.code == 2
    assert verify_export.main([str(folder), "--fingerprint", key()]) == 0
    shutil.rmtree(folder)
    folder.mkdir()
    assert verify_export.main([str(folder), "--fingerprint", key()]) == 1
    assert "NOT VERIFIED" in capsys.readouterr().out
