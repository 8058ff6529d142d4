"""docs/api.md is true: its commands and its Python are run as they stand there, over HTTP; its tables are complete."""

import ast
import io
import json
import re
import shlex

import pytest
import requests
from django.core.management import call_command

from billing.api.errors import REFUSALS
from billing.api.idempotency import KEY_PATTERN
from billing.api.pagination import CursorPages
from billing.idempotent_answers import KEPT_FOR
from billing.models import Invoice, LineItem
from patients.models import ActivityPeriod
from tests.billing.api.routes import OPERATIONS
from tests.builders import make_office
from tests.test_documentation import PROJECT, blocks, codes, rows, section, text_of

GUIDE = PROJECT / "docs/api.md"
REFERENCE = "clinic-007"  # the office of the page


class Shell:
    """As much of a shell, of curl and of manage.py as the page uses."""

    def __init__(self, given):
        self.given = given  # what a reader would fill in after `export`
        self.variables = {}
        self.answers = []

    def run(self, line):
        program, *words = shlex.split(re.sub(r"\$(\w+)", lambda name: self.variables[name[1]], line))
        if program == "export":
            for word in words:
                name, _, _ = word.partition("=")
                self.variables[name] = self.given[name]() if callable(self.given[name]) else self.given[name]
        elif program == "curl":
            self.answers.append(self._curl(words))
        else:
            assert [program, words[0]] == ["python", "manage.py"], line
            self._manage(words[1:])

    def _curl(self, words):
        method, headers, body, address = "GET", {}, None, None
        words = iter(words)
        for word in words:
            if word == "-X":
                method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = next(words)
            else:
                assert not word.startswith("-"), word
                address = word
        response = requests.request(method, address, headers=headers, data=body, timeout=30)
        assert response.ok, (address, response.text)
        return response.json()

    def _manage(self, words):
        out = io.StringIO()
        call_command(*words, stdout=out)
        self.given["KEY"] = re.search(r"^\S{8}\.\S{32}$", out.getvalue(), re.MULTILINE)[0]


@pytest.fixture
def shell(live_server):
    """A reader's terminal beside a server with one office."""
    office = make_office(reference=REFERENCE)
    shell = Shell({"API": f"{live_server.url}/api", "OFFICE": str(office.pk)})
    shell.given["PATIENT"] = lambda: shell.answers[-1]["patient_id"]
    return shell


def shell_lines():
    return [line for block in blocks(GUIDE, "sh") for line in block.splitlines() if line]


@pytest.mark.django_db(transaction=True)
def test_the_commands_of_the_page_lead_to_the_first_activation(shell):
    for line in shell_lines():
        shell.run(line)
    registered, activated, summary = shell.answers
    assert registered.keys() == json.loads(blocks(GUIDE, "json")[0]).keys()
    assert (activated["changed"], len(activated["line_items"])) == (True, 1)
    assert (summary["total_amount"], summary["office_id"]) == ("2.00", shell.given["OFFICE"])
    assert LineItem.objects.count() == ActivityPeriod.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_python_of_the_page_runs_and_calls_everything(shell, capsys):
    shell.run(shell_lines()[0])
    client, story = blocks(GUIDE, "python")
    namespace = {"API": shell.given["API"], "OFFICE": shell.given["OFFICE"], "KEY": shell.given["KEY"]}
    exec(compile(client, "docs/api.md", "exec"), namespace)
    exec(compile(story, "docs/api.md", "exec"), namespace)
    assert Invoice.objects.filter(invoice_type="one_off").count() == 1
    assert "125.00" in capsys.readouterr().out
    called = {node.func.attr for node in ast.walk(ast.parse(story)) if isinstance(node, ast.Call)
              and isinstance(node.func, ast.Attribute)}  # fmt: skip
    of_the_client = next(node for node in ast.parse(client).body if getattr(node, "name", "") == "BillingClient")
    methods = {each.name for each in of_the_client.body if isinstance(each, ast.FunctionDef)}
    assert {name for name in methods if not name.startswith("_")} <= called


def test_the_client_is_typed():
    tree = ast.parse(blocks(GUIDE, "python")[0])
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions
    assert not [each.name for each in functions if each.returns is None]
    arguments = [argument for each in functions for argument in (*each.args.args, *each.args.kwonlyargs)]
    assert not [argument.arg for argument in arguments if argument.annotation is None and argument.arg != "self"]


def test_the_table_of_calls_is_complete():
    told = {(codes(call)[0], codes(scope)[0]) for call, _, scope in rows(section(GUIDE, "All calls"))}
    there = {
        (f"{each.method.upper()} /api/" + re.sub("{(office|invoice|patient)}", r"{\1_id}", each.path), each.scope.value)
        for each in OPERATIONS
    }
    assert told == there


def test_the_table_of_refusals_is_complete():
    told = {
        (status, code)
        for statuses, names, _ in rows(section(GUIDE, "When the answer is no"))
        for status in statuses.split(", ")
        for code in codes(names)
    }
    for refusal in REFUSALS.values():
        assert (str(refusal.status_code), refusal.code) in told


def test_the_numbers_of_the_page_are_the_programs():
    text = text_of(GUIDE)
    rate = re.search(r"API_RATE_PER_MINUTE\", default=(\d+)", text_of(PROJECT / "billing_project/settings.py"))[1]
    assert f"{rate} calls a minute" in text
    assert f"pages of {CursorPages.page_size} (`page_size` up to {CursorPages.max_page_size})" in text
    assert f"{int(KEPT_FOR.total_seconds() / 3600)} hours" in text
    assert "1 to 100 letters" in text
    assert "{1,100}" in KEY_PATTERN
