"""`reconcile_stripe` tells what differs, exits with 1 while something is open, and never with a traceback."""

import json

import pytest
from django.core.management import CommandError, call_command

from billing.models import Invoice
from tests.billing.reconciliation.scene import found


@pytest.fixture
def run(scene, capsys, monkeypatch):
    monkeypatch.setattr("django.utils.timezone.now", scene.clock)

    def run(*arguments):
        capsys.readouterr()
        code = 0
        try:
            call_command("reconcile_stripe", *arguments, "--json")
        except SystemExit as left:
            code = left.code
        except CommandError as error:
            code = error.returncode
        return code, json.loads(capsys.readouterr().out)

    return run


def test_nothing_differs(run):
    code, told = run()
    assert (code, told["counts"]["open"], told["problems"]) == (0, 0, [])


def test_it_exits_with_one_until_it_is_repaired(run, scene):
    scene.stripe.dashboard.pay_invoice(scene.sent().stripe_invoice_id)
    code, told = run()
    assert (code, told["counts"]["found"], told["problems"][0]["code"]) == (1, 1, "paid_there")
    code, told = run("--repair", "--dry-run")
    assert (code, told["counts"]["to_pull"], told["counts"]["repaired"]) == (1, 1, 0)
    code, told = run("--repair")
    assert (code, told["counts"]["invoices_pulled"], told["counts"]["repaired"]) == (0, 1, 1)
    code, told = run("--repair")
    assert (code, told["counts"]["found"], told["counts"]["invoices_pulled"], told["counts"]["gone"]) == (0, 0, 0, 0)


def test_stripe_away_is_a_problem_and_no_failure(run, scene):
    scene.stripe.go_down()
    code, told = run()
    assert (code, told["problems"][0]["code"]) == (0, "stripe_unreachable")
    scene.stripe.come_back()
    assert run()[0] == 0


def test_wrong_arguments_are_told(run):
    assert run("--cycle", "2026-13")[0] == 2
    assert run("--office", "nobody")[0] == 2


def test_a_month_and_an_office_may_be_given(run, scene):
    invoice = scene.sent()
    scene.stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)
    assert run("--cycle", "2020-01")[0] == 0
    assert run("--cycle", invoice.cycle.key, "--office", invoice.office.reference)[0] == 1
    assert found() == [("paid_there", f"invoice:{invoice.pk}")]
    assert Invoice.objects.get(pk=invoice.pk).status == "sent"
