"""The house keeps its own rules (architecture.md), and the program refuses to start half-configured."""

import ast
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from offices.models import Plan
from sandbox import demo_environment
from tests import conftest

PROJECT = Path(__file__).resolve().parent.parent
STAND_ALONE = "audit/standalone/verify_export.py"
SEEDING = "bench/console_books.py:statements"
MAXIMUM_FILE, MAXIMUM_FUNCTION = 300, 30  # lines, rule 1
BANNED_MODULES = {"services", "utils", "helpers", "signals", "managers", "constants", "exceptions"}
TOP_LEVEL = {
    "billing_project", "sandbox", "billing", "patients", "offices", "audit", "templates", "tests", "bin", "docs",
    "bench", "deploy", "manage.py", "requirements.in", "requirements.txt", "requirements-dev.in",
    "requirements-dev.txt", "pyproject.toml", "README.md", "CHANGELOG.md", ".ci", ".gitignore",
}  # fmt: skip


# --- Files ---
def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [path for name in listed.stdout.split("\0") if name and (path := PROJECT / name).is_file()]


def _product_modules() -> list[Path]:
    return [
        path
        for path in _tracked()
        if path.suffix == ".py" and not {"tests", "migrations"} & set(path.relative_to(PROJECT).parts)
    ]


def _name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def test_the_top_level_is_the_table_of_contents():
    assert {path.relative_to(PROJECT).parts[0] for path in _tracked()} <= TOP_LEVEL


def test_no_file_is_longer_than_300_lines():
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in _product_modules()}
    del lengths[STAND_ALONE]  # handed to an auditor, who runs it without anything else of ours: so one file
    assert {name: length for name, length in lengths.items() if length > MAXIMUM_FILE} == {}


def test_no_function_is_longer_than_30_lines():
    too_long = {
        f"{_name(path)}:{function.name}": length
        for path in _product_modules()
        for function, length in _functions(path)
        if length > MAXIMUM_FUNCTION
    }
    del too_long[SEEDING]  # a list of SQL texts: nothing in it happens
    assert too_long == {}


def _functions(path: Path) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Yield each function and its lines from `def` to its end; the docstring does not count."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[0] if ast.get_docstring(node) else None
            spoken = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
            yield node, node.end_lineno - node.lineno + 1 - spoken


def test_no_module_has_a_name_that_says_nothing():
    named = {_name(path) for path in _product_modules() if BANNED_MODULES & {path.stem, path.parent.name}}
    assert named == set()


# Each is written so that it does not find itself here.
FORBIDDEN_TEXT = {
    "a live Stripe key": r"\b[sr]k_live_[0-9A-Za-z]{6,}",
    "a test Stripe key": r"\b[sr]k_test_[0-9A-Za-z]{20,}",
    "a webhook secret": r"\bwhsec_[0-9A-Za-z+/]{24,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE " + "KEY",
    "an assigned secret": r"(?i)\b(secret|password|api)_?key\s*[=:]\s*[\"'][0-9a-f]{32,}[\"']",
    "a path of a machine": r"(?<![\w.~-])/(root|home/\w+|Users/\w+|work|opt/" + "wheels)/",
    "a package registry": r"(?i)\b(py"
    + r"pi|npm"
    + r"js|python"
    + r"hosted|deb\.deb"
    + r"ian)\.(org|com)|index-"
    + "url",
}


@pytest.mark.parametrize("what", FORBIDDEN_TEXT)
def test_no_tracked_file_holds(what):
    pattern = re.compile(FORBIDDEN_TEXT[what])
    found = [
        f"{_name(path)}:{number}"
        for path in _tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("program", ["demo", "test", "check", "bench", "serve", "faults", "drill-restore"])
def test_what_a_person_types_is_executable_posix_sh(program):
    path = PROJECT / "bin" / program
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/bin/sh\n")
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0


# --- Settings: outside DEBUG a missing or default secret stops the program and is named ---
SECRETS = (
    "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "BLIND_INDEX_KEYS", "AUDIT_KEYS", "AUDIT_SIGNING_KEY", "STRIPE_API_KEY",
    "STRIPE_WEBHOOK_SECRETS",
)  # fmt: skip


VALUES = {"missing": None, "placeholder": "changeme" * 8, "default": "insecure-development-" * 3, "too short": "short"}


def _check(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run `manage.py check` in a production's environment with these changes; None takes a name away."""
    environment = {name: secrets.token_hex(32) for name in SECRETS} | {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "sqlite://:memory:",
        "ALLOWED_HOSTS": "billing.vendor.example",
        **changes,
    }
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60,
        env={name: value for name, value in environment.items() if value is not None},
    )  # fmt: skip


def test_a_full_environment_passes_the_check():
    checked = _check()
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_missing_or_default_secret_stops_the_program_and_is_named(name, value):
    checked = _check(**{name: value})
    assert checked.returncode != 0
    last_line = checked.stderr.strip().splitlines()[-1]
    assert name in last_line
    assert not value or value not in checked.stderr


@pytest.mark.parametrize("value", ["short", "insecure-development-" * 3, "changeme" * 8])
def test_a_weak_token_for_the_metrics_stops_the_program_though_none_is_needed(value):
    checked = _check(METRICS_TOKEN=value)
    assert checked.returncode != 0
    assert "METRICS_TOKEN" in checked.stderr.strip().splitlines()[-1]
    assert value not in checked.stderr


@pytest.mark.parametrize(
    "address",
    [
        "https://stripe.example",
        "http://10.0.0.1:12111",
        "http://127.0.0.1.stripe.example",
        "http://localhost@stripe.example",
        "ftp://127.0.0.1",
        "http://api.stripe.com",
    ],
)
def test_an_address_of_stripe_that_is_not_loopback_is_refused(address):
    checked = _check(STRIPE_API_BASE=address)
    assert checked.returncode != 0
    assert "STRIPE_API_BASE" in checked.stderr.strip().splitlines()[-1]


def test_a_loopback_stand_in_is_accepted():
    assert _check(STRIPE_API_BASE="http://127.0.0.1:12111").returncode == 0


def test_the_sdks_own_log_is_refused():
    checked = _check(STRIPE_LOG="debug")
    assert checked.returncode != 0
    assert "STRIPE_LOG" in checked.stderr.strip().splitlines()[-1]


def test_plain_http_is_only_for_loopback():
    checked = _check(SERVE_INSECURE_LOOPBACK="true")
    assert checked.returncode != 0
    assert "SERVE_INSECURE_LOOPBACK" in checked.stderr


# --- The demo's environment ---
def test_the_demo_makes_its_secrets_once_and_for_its_owner_only(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    demo_environment.prepare(tmp_path)
    first = dict(os.environ)
    monkeypatch.setattr(os, "environ", {})
    demo_environment.prepare(tmp_path)
    assert {name: os.environ[name] for name in SECRETS} == {name: first[name] for name in SECRETS}
    assert (tmp_path / "demo.env").stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", first["STRIPE_API_BASE"])


def test_the_demo_keeps_what_the_environment_says_but_never_speaks_to_stripe(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {"SECRET_KEY": "mine", "STRIPE_API_BASE": "https://api.stripe.com"})
    demo_environment.prepare(tmp_path)
    assert os.environ["SECRET_KEY"] == "mine"
    assert os.environ["STRIPE_API_BASE"].startswith("http://127.0.0.1:")


def test_the_demos_environment_starts_the_program(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    demo_environment.prepare(tmp_path)
    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=PROJECT, capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


# --- The tests' own ground: a transactional test leaves what the migrations made ---
@pytest.mark.django_db(transaction=True)
def test_a_transactional_test_leaves_triggers_and_rows_as_it_found_them():
    before = _everything()
    assert before["triggers"]
    assert before["plans"]
    state = conftest.MigratedState.of(connection)
    Plan.objects.create(code="planted", name="Planted")
    with connection.cursor() as cursor:
        cursor.execute(conftest._lift(connection, before["triggers"][0]))
    assert _everything() != before
    state.put_back(connection)
    assert _everything() == before
    assert Plan.objects.create(code="next", name="The sequence goes on behind the kept rows").pk


def _everything() -> dict[str, object]:
    return {
        "triggers": conftest._triggers(connection),
        "plans": list(Plan.objects.order_by("pk").values()),
        "types": list(ContentType.objects.order_by("pk").values()),
    }
