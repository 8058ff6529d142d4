"""Cases drawn from the committed description: whatever is asked, no server error, no answer that the description does
not know, and nothing of another office.

`from_wsgi` at module level: schemathesis' own fixtures do not work with this pytest (dependencies.md, "Known traps").
The description that is served is the committed one: test_contract.py sees to it.
"""

import json
import os
import random

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi import checks

from tests.billing.api.conftest import Portal
from tests.billing.api.probes import Books

SEED = int(os.environ["DRAW_SEED"])
SAMPLE, FULL = 1_500, 10_000  # cases over all operations, modes and keys (decisions.md 38)
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
CALLERS = ["a key of the office", "a key of another office"]

description = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())
OPERATIONS = [result.ok() for result in description.get_all_operations()]


class Asker:
    """Sends cases with a key. Drawn ids exist nowhere: every second right one gets ids of the office with books."""

    def __init__(self, books, portal):
        self._books, self._key = books, portal.key
        self._foreign = portal.office != books.office
        self._secrets = books.ids()
        self._office = str(books.office.pk)
        self._ids = {"invoice_id": books.invoices(), "patient_id": books.patients(), "office_id": [self._office]}
        self.asked = self.succeeded = 0
        self.found = []

    def ask(self, case, dice):
        self.asked += 1
        if case.meta.generation.mode.is_positive and dice.random() < 0.5:
            self._aim(case, dice)
        # A case whose headers are wrong on purpose stays without a key: it must be refused.
        headers = {} if _wrong_headers(case) else {"Authorization": f"Api-Key {self._key}"}
        response = case.call_and_validate(headers=headers, checks=CHECKS)
        self.succeeded += response.status_code < 300
        if self._foreign:
            sent = json.dumps([case.path_parameters, case.query], default=str)
            shown = [each for each in self._secrets if each.encode() in response.content and each not in sent]
            if shown:
                self.found.append((case.operation.label, response.status_code))

    def _aim(self, case, dice):
        for name in case.path_parameters or {}:
            case.path_parameters[name] = dice.choice(self._ids[name])
        if isinstance(case.body, dict) and "office_id" in case.body:
            case.body["office_id"] = self._office


def _wrong_headers(case):
    header = case.meta.components.get(ParameterLocation.HEADER)
    return header is not None and header.mode.is_negative


def _ask_everything(count, caller):
    """Ask `count` cases with this caller, spread over operations and modes; return the asker."""
    books = Books.made()
    asker = Asker(books, Portal(books.office if caller == CALLERS[0] else Books.made().office))
    each = -(-count // (len(OPERATIONS) * len(MODES)))
    dice = random.Random(SEED)
    for operation in OPERATIONS:
        for mode in MODES:

            @seed(SEED)
            @settings(
                max_examples=each, deadline=None, database=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def draw(case):
                asker.ask(case, dice)

            draw()
    print(f"DRAW_SEED={SEED}: {asker.asked} cases, {asker.succeeded} of them carried out")  # noqa: T201 - the seed is told (decisions.md 38)
    return asker


@pytest.fixture
def as_in_a_test(noon):
    """Keep the test's connection open behind the real WSGI application, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _nothing_goes_wrong(count, caller):
    asker = _ask_everything(count, caller)
    assert asker.asked >= count * 0.9  # an operation without a body has few wrong cases to draw
    assert asker.found == []
    if caller == CALLERS[0]:
        assert asker.succeeded > asker.asked / 10  # it is not only the door that is asked


@pytest.mark.parametrize("caller", CALLERS)
def test_no_case_is_a_server_error_a_surprise_or_a_leak(as_in_a_test, caller):
    _nothing_goes_wrong(SAMPLE // 2, caller)


@pytest.mark.full
@pytest.mark.parametrize("caller", CALLERS)
def test_no_case_of_the_full_number_is_a_server_error_a_surprise_or_a_leak(as_in_a_test, caller):
    _nothing_goes_wrong(FULL // 2, caller)


def test_a_violation_would_be_found(as_in_a_test, monkeypatch):
    """The test can fail: an answer without one of its fields is a violation."""
    books = Books.made()
    monkeypatch.setattr("billing.api.summary.as_json", lambda _, row: {"office_id": str(row["office_id"])})
    operation = next(each for each in OPERATIONS if each.path.endswith("/summary"))
    case = operation.Case(path_parameters={"office_id": str(books.office.pk)})
    with pytest.raises(BaseException, match="total_amount"):
        case.call_and_validate(headers={"Authorization": f"Api-Key {Portal(books.office).key}"}, checks=CHECKS)
