"""Whatever is done to an export shows. Variants are drawn from a seed that a failure names."""

import os
import random
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import transaction

from audit import signing
from audit.chain import Fact, record
from audit.checkpoints import make_checkpoint
from audit.export import export_trail
from audit.standalone import verify_export
from tests.audit.conftest import NOW, tell
from tests.audit.export_forgery import WHO, Files, same_facts

pytestmark = pytest.mark.django_db

SAMPLE, FULL = 100, 3_334  # variants of each of the three who tamper: 300 in CI, 10,000 by hand
SEED = int(os.environ["DRAW_SEED"])


@pytest.fixture
def exports(settings, tmp_path) -> tuple[Path, Files]:
    """Today's export, and the files of an older one."""
    settings.AUDIT_ANCHORS_PATH = str(tmp_path / "anchors.jsonl")
    for number in range(4):
        for clinic in range(5 - number):
            tell(f"office:clinic-{clinic}", "invoice.closed", "patient.activated", "office.parked")
        make_checkpoint(now=NOW + timedelta(minutes=number))
        if number == 1:
            export_to(tmp_path / "old")
    return tmp_path / "export", contents(export_to(tmp_path / "old"))


def export_to(folder: Path) -> Path:
    if not folder.exists():
        shown = frozenset({"invoice.closed"})
        export_trail(
            folder=folder, streams=None, since=None, may_show=lambda action, _: action in shown, now=NOW
        )  # fmt: skip
    return folder


def contents(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def codes(folder: Path, key: str) -> set[str]:
    findings, _ = verify_export.verify(folder, {key})
    return {code for _, _, code in findings.breaks}


def undetected(who: str, number: int, folder: Path, old: Files) -> tuple[list[str], set[str]]:
    """Return the seeds of variants that pass, and every code that was given."""
    key = signing.fingerprint(signing.public_keys()[0])
    clean, passed, told = contents(export_to(folder)), [], set()
    assert codes(folder, key) == set()
    for variant in range(number):
        seed, files = f"{SEED}:{who}:{variant}", clean
        draw = random.Random(seed)
        while files == clean or (who == "insider" and same_facts(files, clean)):
            WHO[who](files := dict(clean), old, draw)
        lay_out(folder, clean, files)
        found = codes(folder, key)
        told |= found
        if not found:
            passed.append(seed)
        lay_out(folder, files, clean)
    assert codes(folder, key) == set()
    return passed, told


def lay_out(folder: Path, before: Files, after: Files) -> None:
    for name in before.keys() | after.keys():
        if name not in after:
            (folder / name).unlink()
        elif before.get(name) != after[name]:
            (folder / name).write_bytes(after[name])


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("number", [SAMPLE, pytest.param(FULL, marks=pytest.mark.full)])
def test_every_tampered_export_is_found(exports, who, number):
    folder, old = exports
    passed, told = undetected(who, number, folder, old)
    assert passed == []
    if who == "insider":  # the manifest fits: it is the chains and the checkpoints that tell
        assert "file_changed" not in told
        assert len(told) > 5
    if who == "insider" and number == FULL:
        assert {"entry_edited", "sealed_entry_differs", "checkpoint_signature_invalid", "checkpoint_missing"} <= told
        assert {"tail_cut", "stream_missing", "line_malformed", "checkpoint_root_differs"} <= told


def test_entries_behind_the_last_checkpoint_are_vouched_for_by_the_manifest_alone(exports):
    """So an export makes a checkpoint first (`export_audit`)."""
    with transaction.atomic():
        record(Fact("office:clinic-0", "invoice.closed"), actor="staff:7", now=NOW)
    folder = export_to(exports[0])
    key = signing.fingerprint(signing.public_keys()[0])
    assert codes(folder, key) == set()
    lines = (folder / "entries.jsonl").read_bytes().splitlines(keepends=True)
    assert b"clinic-0" in lines[12]
    (folder / "entries.jsonl").write_bytes(b"".join(lines[:12] + lines[13:]))
    assert "file_changed" in codes(folder, key)
