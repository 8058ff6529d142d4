"""The demo exits 0 only when all of it is true: a short story in this process, the whole one as a person starts it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.cache import cache
from django.core.management import CommandError, call_command

from offices.models import Office
from sandbox.demo import money_scenes, premises, story
from sandbox.demo.stage import Stage
from tests.builders import make_office

PROJECT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 120  # seconds; several times what a loaded machine needs


@pytest.fixture
def scenes(monkeypatch, settings) -> dict[str, tuple[Callable[[Stage], None], ...]]:
    """A story of three days, to which a test may add; its local Stripe has a port of its own."""
    calendar = {"2026-02-02": (money_scenes.setup_fees,)}
    monkeypatch.setattr(story, "LAST_DAY", datetime(2026, 2, 3, 12, tzinfo=UTC))
    monkeypatch.setattr(story, "SCENES", calendar)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.STRIPE_API_BASE = f"http://127.0.0.1:{probe.getsockname()[1]}"
    cache.clear()
    return calendar


def run_demo(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    printed = StringIO()
    try:
        call_command("demo", *arguments, stdout=printed)
    except SystemExit as ended:
        return int(ended.code or 0), printed.getvalue()
    return 0, printed.getvalue()


def problems_of(printed: str) -> dict[str, str]:
    return {problem["code"]: problem["message"] for problem in json.loads(printed)["problems"]}


# --- A short story ---
@pytest.mark.django_db
def test_a_story_that_is_all_true_exits_0_and_prints_one_object_for_machines(scenes):
    code, printed = run_demo("--json")

    answer = json.loads(printed)
    assert code == 0, printed
    assert answer.keys() == {"command", "ok", "dry_run", "counts", "amounts", "problems"}
    assert (answer["command"], answer["ok"], answer["dry_run"], answer["problems"]) == ("demo", True, False, [])
    assert answer["counts"]["offices"] == 40
    assert answer["counts"]["identifiers_found"] == answer["counts"]["checks_failed"] == 0
    assert answer["counts"]["identifiers_searched"] > 20_000
    assert answer["amounts"] == {"USD": 50_000}


@pytest.mark.django_db
def test_the_account_reads_well_in_a_pipe(scenes):
    code, printed = run_demo()

    assert code == 0, printed
    assert "\x1b" not in printed
    assert "✗" not in printed
    assert re.search(r"✓ 0 patient identifiers found in [\d,]+ bytes of [\d,]+ requests", printed)
    assert re.search(r"All \d+ sentences are true\.", printed)


def leak(name: str) -> Callable[[Stage], None]:
    """Return a scene in which something tells Stripe a patient's name, past the guard."""

    def tell_stripe(stage: Stage) -> None:
        requests.post(f"{stage.standin.base_url}/v1/customers", data={"name": name}, timeout=10)

    return tell_stripe


@pytest.mark.django_db
def test_a_planted_leak_makes_the_demo_exit_1_without_repeating_the_name(scenes):
    scenes["2026-02-03"] = (leak("Lara Delgado"),)
    code, printed = run_demo("--json")

    problems = problems_of(printed)
    assert code == 1
    assert not json.loads(printed)["ok"]
    assert problems["patient_identifier_found"].split()[0] != "0"
    assert "Delgado" not in printed


@pytest.mark.django_db
def test_a_request_of_unknown_origin_makes_the_demo_exit_1_but_is_no_leak(scenes):
    scenes["2026-02-03"] = (leak("Setup fee"),)
    code, printed = run_demo("--json")

    assert code == 1
    assert problems_of(printed).keys() == {"request_without_evidence"}


@pytest.mark.django_db
def test_a_status_that_differs_at_stripe_makes_the_demo_exit_1(scenes):
    def lie(stage: Stage) -> None:
        stage.hear()
        invoice = stage.standin.objects("invoice")[0]
        stage.standin.dashboard.tamper("invoice", invoice["id"], status="void")

    scenes["2026-02-03"] = (lie,)
    code, printed = run_demo("--json")

    assert code == 1
    assert "status_differs" in problems_of(printed)


@pytest.mark.django_db
def test_an_expectation_that_fails_makes_the_demo_exit_1_and_is_marked(scenes):
    scenes["2026-02-03"] = (lambda stage: stage.expect("the moon is made of cheese", holds=False),)
    code, printed = run_demo()

    assert code == 1
    assert "✗ the moon is made of cheese" in printed
    assert "1 sentences are NOT true" in printed


# --- The database it may fill ---
@pytest.mark.django_db
def test_a_database_that_is_not_empty_is_refused_and_left_as_it_is(scenes):
    make_office()
    with pytest.raises(CommandError, match="not empty") as refused:
        run_demo()

    assert refused.value.returncode == 2
    assert Office.objects.count() == 1


@pytest.mark.django_db
def test_a_dry_run_writes_nothing(scenes):
    code, printed = run_demo("--dry-run")

    assert code == 0
    assert "nothing was written" in printed
    assert not Office.objects.exists()


@pytest.mark.parametrize(
    ("name", "is_own"),
    [("var/demo.sqlite3", True), ("var/demo-2.sqlite3", True), ("var/billing.sqlite3", False), ("demo.sqlite3", False)],
)
def test_only_a_demo_file_under_var_is_the_demos_own_to_replace(name, is_own, settings):
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(settings.BASE_DIR / name)}
    assert (premises.demo_file(database) is not None) is is_own


def test_a_database_of_another_kind_is_never_the_demos_own(settings):
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": str(settings.VAR_DIR / "demo.sqlite3")}
    assert premises.demo_file(database) is None


def test_two_demos_do_not_share_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(premises, "own_file", lambda: tmp_path / "demo.sqlite3")
    with premises.alone(), pytest.raises(premises.DatabaseInUse), premises.alone():
        pass
    with premises.alone():
        pass


def test_a_story_counts_as_told_only_when_all_it_left_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(premises, "own_file", lambda: tmp_path / "demo.sqlite3")
    for name in ("demo.sqlite3", "demo.stripe", "demo.told"):
        assert not premises.is_told()
        (tmp_path / name).touch()
    assert premises.is_told()


# --- The whole story, and what it opens ---
@pytest.fixture
def served(tmp_path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo as a person starts it, told to its end and serving; the process and what it printed until then."""
    database = tmp_path / "story.sqlite3"
    names = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--serve", "--port", "8710"],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment | {"DATABASE_URL": f"sqlite:///{database}", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    printed = []
    for line in process.stdout or ():
        printed.append(line)
        if line.startswith("Ctrl-C"):
            break
    try:
        yield process, "".join(printed)
    finally:
        process.kill()
        process.communicate()


def _value(printed: str, name: str) -> str:
    (value,) = re.findall(rf"^\s*{re.escape(name)}:\s+(\S+)", printed, flags=re.MULTILINE)
    return value


def _eventually(look: Callable[[], Any], wanted: object) -> None:
    """Look again until it is so; fail with what was seen last."""
    deadline = time.monotonic() + PATIENCE
    while (seen := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    assert seen == wanted


def test_the_whole_story_is_true_and_what_it_opens_works_until_ctrl_c(served):
    # One test for all of it: workers that share the tests out would tell the story once for each.
    process, printed = served
    told = re.search(r"All \d+ sentences are true\.", printed)
    assert told, printed + (process.stderr.read() if process.poll() else "")
    assert "✗" not in printed
    _the_console_has_its_style_and_lets_the_demo_user_in(printed)
    _a_charge_made_in_the_api_reaches_stripe_and_its_payment_comes_back(printed)
    process.send_signal(signal.SIGINT)
    rest, _errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert "Stopped." in rest


def _the_console_has_its_style_and_lets_the_demo_user_in(printed: str) -> None:
    console = _value(printed, "Console")
    session = requests.Session()
    page = session.get(f"{console}login/", timeout=PATIENCE)
    style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
    assert style
    assert session.get(console.replace("/admin/", style[1]), timeout=PATIENCE).status_code == 200
    form = {
        "username": _value(printed, "user name"),
        "password": _value(printed, "password"),
        "otp_token": _value(printed, "code now").split()[0],
        "csrfmiddlewaretoken": session.cookies["csrftoken"],
    }
    entered = session.post(f"{console}login/?next=/admin/", data=form, timeout=PATIENCE)
    assert entered.status_code == 200
    assert entered.url == console


def _a_charge_made_in_the_api_reaches_stripe_and_its_payment_comes_back(printed: str) -> None:
    api, office = _value(printed, "Console").replace("/admin/", "/api/billing"), _value(printed, "office")
    session = requests.Session()
    session.headers["Authorization"] = f"Api-Key {_value(printed, 'API key')}"
    body = {"office_id": office, "reason": "training", "amount": "50.00"}
    charged = session.post(f"{api}/charges/one-off", json=body, headers={"Idempotency-Key": "demo-1"}, timeout=PATIENCE)
    assert charged.status_code == 201, charged.text
    invoice = charged.json()["invoice_id"]

    def status() -> str:
        return session.get(f"{api}/payment-status/{invoice}", timeout=PATIENCE).json()["status"]

    _eventually(status, "sent")
    stripe_id = session.get(f"{api}/invoices/{office}/{invoice}", timeout=PATIENCE).json()["stripe_invoice_id"]
    page = f"{_value(printed, 'Local Stripe')}/_hosted/{stripe_id}"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(page, data=b"") as paid:
        assert b"status: paid" in paid.read()
    _eventually(status, "paid")
