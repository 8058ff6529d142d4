"""Nothing that a program or a library says in a log can carry a value out."""

import ast
import io
import json
import logging
import re
import subprocess
import sys
import threading
import uuid
import warnings
from pathlib import Path

import pytest
import structlog
from django.conf import settings as django_settings
from django.db import IntegrityError
from django.test import Client

from billing.models import ParkingCode
from billing_project import logging as ours
from billing_project.logging import FIELDS, line_formatter, logging_config

PROJECT = Path(__file__).resolve().parent.parent
MARKER = "Zoltanfy"
SPEAKS = r"(logger|_log)\.(debug|info|warning|error|exception|critical)"
PRODUCT = ("audit", "offices", "patients", "billing", "billing_project", "sandbox/demo")


@pytest.fixture
def lines():
    """Read the lines that leave the process, from every logger at DEBUG."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(line_formatter())
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


def ours_logger():
    return structlog.get_logger("billing.somewhere")


def test_an_event_and_its_allowed_fields_are_kept(lines):
    incident = uuid.uuid4()
    ours_logger().error(
        "delivery_parked", code=ParkingCode.REQUEST_BLOCKED, incident=incident, error=ValueError, count=3
    )

    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("delivery_parked", "error", "billing.somewhere")
    assert (line["code"], line["incident"], line["error"]) == ("request_blocked", str(incident), "builtins.ValueError")
    assert line["count"] == 3
    assert "dropped" not in line


@pytest.mark.parametrize("name", [*FIELDS, "patient", "name", MARKER])
@pytest.mark.parametrize("value", [MARKER, [MARKER], {MARKER: 1}, MARKER.encode(), 1.5, None])
def test_a_field_with_text_is_dropped_and_counted(lines, name, value):
    before = ours.dropped["field"]
    ours_logger().warning("something_happened", **{name: value})

    (line,) = lines()
    assert MARKER not in json.dumps(line)
    assert line["dropped"] == 1
    assert ours.dropped["field"] == before + 1


@pytest.mark.parametrize("event", [f"Patient {MARKER}", MARKER, "", 7, f"a\n{MARKER}", "x" * 100])
def test_an_event_that_is_no_code_is_refused(lines, event):
    ours_logger().warning(event)
    assert lines()[0]["event"] == "event_refused"


def fail_with_values():
    secret = MARKER  # a local variable that error reporters like to print
    try:
        {}[secret]
    except KeyError as error:
        detail = f"duplicate key value violates unique constraint\nDETAIL:  Key (name)=({secret}) already exists."
        raise IntegrityError(detail) from error


@pytest.mark.parametrize("name", ["billing.x", "django.request", "celery.app.trace", "gunicorn.error", "urllib3", "x"])
def test_an_exception_keeps_types_places_and_an_incident_but_no_text(lines, name):
    try:
        fail_with_values()
    except IntegrityError as error:
        logging.getLogger(name).error("failed: %s %r", error, error, exc_info=True)
        ours_logger().exception("it_failed")

    for line in lines():
        assert MARKER not in json.dumps(line)
        assert line["error"] == ["django.db.utils.IntegrityError", "builtins.KeyError"]
        assert any("test_logging.py" in place and "fail_with_values" in place for place in line["places"])
        assert uuid.UUID(line["incident"])


def test_of_a_library_stays_the_template_without_its_arguments(lines):
    logging.getLogger("celery.worker").info("Connected to %s", f"redis://{MARKER}")
    logging.getLogger("stripe").error(f"message='Request to Stripe' {MARKER}")
    logging.getLogger("unknown.library").error("%s said", MARKER)
    warnings.warn(f"naive datetime {MARKER}", stacklevel=1)

    assert MARKER not in json.dumps(lines())
    assert [line.get("message") for line in lines()][:3] == ["Connected to %s", None, None]


def test_arguments_that_do_not_fit_their_template_print_nothing(lines, capfd):
    logging.getLogger("django").error("%d patients", MARKER)
    assert MARKER not in json.dumps(lines()) + "".join(capfd.readouterr())


def test_a_failing_request_is_told_by_its_route_and_its_page_says_nothing(lines, monkeypatch, db):
    def fail():
        raise ValueError(MARKER)

    monkeypatch.setattr("billing_project.health._is_migrated", fail)
    answer = Client(raise_request_exception=False).get("/readyz")

    assert MARKER not in answer.content.decode() + json.dumps(lines())
    (line,) = [line for line in lines() if line["logger"] == "django.request"]
    assert (answer.status_code, line["status"], line["route"], line["error"]) == (
        500, 500, "readyz", ["builtins.ValueError"],
    )  # fmt: skip


def test_a_page_that_does_not_exist_leaves_no_path_in_the_log(lines, db):
    answer = Client().get(f"/patients/{MARKER}/?name={MARKER}")

    assert answer.status_code == 404
    assert MARKER not in answer.content.decode() + json.dumps(lines())
    (line,) = [line for line in lines() if line["logger"] == "django.request"]
    assert (line["status"], line["method"], "route" in line) == (404, "GET", False)


def test_only_debug_shows_texts(lines, settings):
    settings.DEBUG = True
    try:
        fail_with_values()
    except IntegrityError:
        logging.getLogger("django.request").error("at %s", MARKER, exc_info=True)
    (line,) = lines()
    assert line["message"] == f"at {MARKER}"
    assert MARKER in line["traceback"]


def test_no_handler_of_a_library_is_left(lines):
    """Django's own would mail tracebacks with local variables to ADMINS."""
    assert not logging.getLogger("django").handlers
    assert not logging.getLogger("django.server").handlers
    assert logging.raiseExceptions is False
    assert logging_config(level="DEBUG")["root"]["level"] == "DEBUG"


DYING = """
import os; os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django; django.setup()
import threading
def fail(): raise ValueError("{marker}")
threading.Thread(target=fail).start()
fail()
"""


def test_the_last_words_of_a_dying_program_hold_no_text():
    code = DYING.format(marker=MARKER)
    died = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)

    assert died.returncode == 1
    assert died.stdout == ""
    told = [json.loads(line) for line in died.stderr.splitlines()]
    assert [line["event"] for line in told] == ["uncaught_exception"] * 2
    assert MARKER not in died.stderr


def test_the_same_program_without_the_hooks_would_print_the_text():
    code = DYING.format(marker=MARKER).replace("fail()\n", "import sys; sys.excepthook = sys.__excepthook__\nfail()\n")
    died = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert MARKER in died.stderr


def test_every_line_of_ours_names_a_constant_event_and_allowed_fields():
    found = 0
    for path in (file for folder in PRODUCT for file in (PROJECT / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and re.fullmatch(SPEAKS, ast.unparse(call.func)):
                found += 1
                (event,) = call.args
                assert isinstance(event, ast.Constant), f"{path}:{call.lineno}"
                assert ours._EVENT.fullmatch(event.value), f"{path}:{call.lineno}"
                assert {word.arg for word in call.keywords} <= {*FIELDS, "exc_info"}, f"{path}:{call.lineno}"
                texts = [word.arg for word in call.keywords if isinstance(getattr(word.value, "value", None), str)]
                assert texts == [], f"{path}:{call.lineno}: no field takes text, this one would be dropped"
    assert found >= 10


def test_the_product_logs_through_structlog_alone():
    offenders = [
        str(path)
        for folder in PRODUCT
        for path in (PROJECT / folder).rglob("*.py")
        if "logging.getLogger(__name__)" in path.read_text(encoding="utf-8")
    ]
    assert offenders == []


def test_the_level_of_the_settings_is_kept():
    assert django_settings.LOGGING["root"]["level"] == "INFO"
    assert threading.excepthook is not None
