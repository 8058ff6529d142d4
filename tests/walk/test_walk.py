"""Each task of staff, done in a browser on the demo's data: what a person sees is looked at, and kept as a picture.

`WALK_PICTURES` says where the pictures go; nothing of them is kept in the repository.
"""

import os
from base64 import b32decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django_otp.oath import totp

from tests.walk.browser import CHROMIUM, Walker, open_browser
from tests.walk.stage import PROJECT, Person, Stage, open_stage

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.skipif("sqlite3" not in settings.DATABASES["default"]["ENGINE"], reason="the demo's data are SQLite's"),
]

CLOSED_MONTH, MONTH, FAILED_MONTH = "2026-03", "2026-06", "2026-07"
NEW_PASSWORD = "a long walk by the sea"
NOT_FOUND_THERE, OTHER_CURRENCY, OTHER_TOTAL, NO_METADATA, CANCELED_THERE = 3, 3, 2, 2, 2
PLANTED = NOT_FOUND_THERE + OTHER_CURRENCY + OTHER_TOTAL + NO_METADATA + CANCELED_THERE


@pytest.fixture
def pictures() -> Path:
    folder = Path(os.environ.get("WALK_PICTURES", PROJECT / "var" / "walk"))
    folder.mkdir(parents=True, exist_ok=True)
    for older in folder.glob("*.png"):
        older.unlink()
    return folder


@pytest.fixture
def people(tmp_path: Path, pictures: Path) -> Iterator[tuple[Stage, Any]]:
    """The stage, and what opens a browser for one more person."""
    with open_stage(tmp_path) as stage, open_browser() as browser:
        yield stage, lambda name: Walker(browser, stage.console, pictures, name)


def test_each_task_of_staff_can_be_done_in_the_console(people):
    # One test for all of it: workers that share the tests out would tell the story of the demo once for each.
    stage, arrive = people
    stage.at_stripe("set_card", card="declined")
    assert stage.command("run_billing_cycle")["ok"]
    stage.eventually(lambda: bool(stage.rows(_FAILED, FAILED_MONTH)), wanted=True)
    stage.at_stripe("set_card", card="succeeds")
    stage.eventually(lambda: stage.rows(_WAITING), [(0,)])

    clerk, second = arrive("clerk"), arrive("second")
    _log_in(clerk, stage, stage.first)
    _find_a_failed_invoice_explain_it_and_retry_it(clerk, stage)
    _reconcile_a_month_with_planted_mismatches(clerk, stage)
    _log_in(second, stage, stage.second)
    _a_second_person_decides(clerk, second, stage)
    _two_people_close_a_month(clerk, second, stage)
    _reveal_an_identity(clerk)
    beginner = arrive("beginner")
    _enrol(beginner, stage)
    _a_biller_is_refused(beginner, stage)

    for walker in (clerk, second, beginner):
        assert walker.complaints == []


_INVOICES = (
    "SELECT i.id, i.stripe_invoice_id FROM billing_invoice i JOIN billing_billingcycle c ON c.id = i.cycle_id"
    " JOIN offices_office o ON o.id = i.office_id WHERE c.key = ? AND i.status = '{status}' ORDER BY o.reference"
)
_FAILED, _SENT = _INVOICES.format(status="failed"), _INVOICES.format(status="sent")
_WRITTEN_OFF = "SELECT count(*) FROM billing_correction WHERE invoice_id = ? AND kind = 'write_off' AND status = 'done'"
_WAITING = "SELECT count(*) FROM billing_outboxmessage WHERE status = 'pending'"


def _log_in(walker: Walker, stage: Stage, person: Person) -> None:
    walker.go()
    walker.fill(username=person.username, password=person.password, otp_token=stage.code_of(person))
    walker.press("Log in")
    walker.sees("What needs attention")
    walker.picture("overview", also_narrow=True)


def _find_a_failed_invoice_explain_it_and_retry_it(clerk: Walker, stage: Stage) -> None:
    clerk.follow("Failed invoices")
    clerk.picture("failed-invoices")
    invoice = UUID(stage.rows(_FAILED, FAILED_MONTH)[0][0])
    clerk.go(f"billing/invoice/{invoice}/change/")
    clerk.sees("Timeline, the latest first")
    clerk.picture("invoice", also_narrow=True)
    clerk.press("Explain")
    clerk.sees("All of them agree")
    clerk.sees("Active across the start of the month: charged as an active account.")
    clerk.picture("explanation")
    clerk.press("Back")
    clerk.press("Correct")
    clerk.follow("Try a failed payment again")
    clerk.press("Try it again")
    clerk.sees("The payment is tried again within minutes.")
    clerk.picture("retry")
    paid = "SELECT status FROM billing_invoice WHERE id = ?"
    stage.eventually(lambda: stage.rows(paid, invoice.hex), [("paid",)])


def _reconcile_a_month_with_planted_mismatches(clerk: Walker, stage: Stage) -> None:
    _plant(stage)
    clerk.go("billing/reconciliationrun/desk/")
    clerk.page.locator("[name=month]").first.select_option(MONTH)
    clerk.press("Show")
    clerk.press(f"Compare {MONTH} with Stripe")
    clerk.press("Compare")
    clerk.sees("Complete")  # the page looks again by itself
    clerk.picture("comparison")
    clerk.press("Repair what Stripe decided")
    clerk.picture("repair-shown-first")
    clerk.press("Repair them")
    clerk.sees(f"{CANCELED_THERE} invoices fetched, {CANCELED_THERE} differences repaired, 0 left.")
    clerk.go(f"billing/reconciliationrun/desk/?month={MONTH}")
    clerk.picture("desk", also_narrow=True)
    found = "SELECT kind, count(*) FROM billing_discrepancy WHERE cycle_key = ? GROUP BY kind ORDER BY kind"
    assert stage.rows(found, MONTH) == [
        ("canceled_there", CANCELED_THERE), ("currency", OTHER_CURRENCY), ("metadata_changed", NO_METADATA),
        ("missing_at_stripe", NOT_FOUND_THERE), ("total", OTHER_TOTAL),
    ]  # fmt: skip
    clerk.go(f"billing/discrepancy/?cycle={MONTH}&kind__exact=total")
    clerk.follow_first()
    clerk.sees("Side by side")
    clerk.picture("side-by-side", also_narrow=True)
    clerk.press("Take it on")
    clerk.press("Take it on")
    clerk.sees("It is yours.")
    clerk.go(f"billing/discrepancy/balance/?month={MONTH}")
    clerk.picture("balance")


def _plant(stage: Stage) -> None:
    """Let Stripe's books lie about twelve invoices, without any news of it."""
    invoices = [stripe_id for _, stripe_id in stage.rows(_SENT, MONTH)[:PLANTED]]
    assert len(invoices) == PLANTED
    lies: list[dict[str, Any] | None] = [
        *[None] * NOT_FOUND_THERE,
        *[{"currency": "eur"}] * OTHER_CURRENCY,
        *[{"total": 1, "amount_due": 1, "amount_remaining": 1}] * OTHER_TOTAL,
        *[{"metadata": {}}] * NO_METADATA,
        *[{"status": "void"}] * CANCELED_THERE,
    ]
    for stripe_id, lie in zip(invoices, lies, strict=True):
        if lie is None:
            stage.at_stripe("forget", kind="invoice", object_id=stripe_id)
        else:
            stage.at_stripe("tamper", kind="invoice", object_id=stripe_id, **lie)


def _a_second_person_decides(clerk: Walker, second: Walker, stage: Stage) -> None:
    """Who asks for money to be forgiven does not decide about it."""
    invoice = UUID(stage.rows(_SENT, FAILED_MONTH)[0][0])
    clerk.go(f"billing/invoice/{invoice}/change/")
    clerk.press("Correct")
    clerk.follow("Write an invoice off")
    clerk.page.locator("[name=reason]").select_option("uncollectible")
    clerk.fill(note="agreed on the telephone")
    clerk.press("Ask to write it off")
    clerk.sees("Requested")
    clerk.picture("asked-to-write-off")
    second.go("billing/correction/?status__exact=requested")
    second.follow_first()
    second.press("Approve")
    second.picture("approve", also_narrow=True)
    second.press("Approve")
    second.sees("Approved. It goes ahead.")
    stage.eventually(lambda: stage.rows(_WRITTEN_OFF, invoice.hex), [(1,)])


def _two_people_close_a_month(clerk: Walker, second: Walker, stage: Stage) -> None:
    clerk.go(f"billing/reconciliationrun/compare/?month={CLOSED_MONTH}")
    clerk.press("Compare")
    clerk.sees("Complete")
    for person, then in ((clerk, "You have signed. A second person has to sign too."), (second, "Locked.")):
        person.go(f"billing/monthclose/month/?month={CLOSED_MONTH}")
        person.picture("month", also_narrow=True)
        person.press(f"Sign {CLOSED_MONTH}")
        person.press("Sign")
        person.sees(then)
        person.picture("signed")
    assert stage.rows("SELECT count(*) FROM billing_monthclose WHERE locked_at IS NOT NULL") == [(1,)]


def _reveal_an_identity(officer: Walker) -> None:
    officer.go("patients/patient/")
    officer.follow_first()
    officer.press("Reveal who this is")
    officer.fill(reason="the clinic asks which account this is")
    officer.press("Reveal")
    officer.sees("Shown until")
    officer.picture("identity")
    officer.press("Close now")


def _enrol(beginner: Walker, stage: Stage) -> None:
    """Log in for the first time: with the password that an operator passed on, and no code yet."""
    password = stage.command("create_staff", "new-biller", "--role", "Biller")["password"]
    beginner.go()
    beginner.fill(username="new-biller", password=password)
    beginner.press("Log in")
    beginner.picture("enrolment", also_narrow=True)
    secret = b32decode(beginner.page.locator("#secret").inner_text().replace(" ", ""))
    beginner.fill(new_password1=NEW_PASSWORD, new_password2=NEW_PASSWORD, otp_token=f"{totp(secret):06}")
    beginner.press("Confirm")
    beginner.sees("Recovery codes")
    beginner.press("I have kept them: go on")
    beginner.sees("What needs attention")


def _a_biller_is_refused(biller: Walker, stage: Stage) -> None:
    patient = UUID(stage.rows("SELECT reference FROM patients_patient LIMIT 1")[0][0])
    with biller.being_refused():
        biller.go(f"patients/revealgrant/ask/{patient}/")
        biller.picture("refused")
