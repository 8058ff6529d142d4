"""Whoever goes away is logged out, on the server; what the browser kept of the console goes with the log-out."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client

from audit.models import AuditEntry
from billing.staff_accounts import STREAM
from tests.builders import utc
from tests.staff import PASSWORD, logged_in, logged_in_by_form, member

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-02T09:00")
OTHER = "quite another walk 7"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def inside() -> Client:
    member("biller")
    return logged_in_by_form("biller")


def is_inside(client):
    return client.get("/admin/").status_code == 200


def ends():
    entries = AuditEntry.objects.filter(stream=STREAM, action="log_out").order_by("seq")
    return [(entry.actor, entry.payload) for entry in entries]


def test_fifteen_minutes_without_a_request_end_the_session(inside, clock):
    clock.shift(timedelta(minutes=14))
    assert is_inside(inside)
    clock.shift(timedelta(minutes=14, seconds=59))
    assert is_inside(inside)
    clock.shift(timedelta(minutes=15))
    assert not is_inside(inside)
    assert ends() == [("staff:biller", '{"because":"idle"}')]
    assert Session.objects.count() == 0


def test_twelve_hours_end_the_session_however_busy_it_is(inside, clock):
    for _ in range(12 * 6 - 1):
        clock.shift(timedelta(minutes=10))
        assert is_inside(inside)
    clock.shift(timedelta(minutes=10))
    assert not is_inside(inside)
    assert ends() == [("staff:biller", '{"because":"too_long"}')]


def test_a_cookie_that_was_copied_is_worth_nothing_after_the_end(inside, clock):
    copied = inside.cookies["sessionid"].value
    clock.shift(timedelta(minutes=15))
    thief = Client()
    thief.cookies["sessionid"] = copied
    assert not is_inside(thief)
    assert not is_inside(inside)


def test_a_new_log_in_starts_the_twelve_hours_anew(inside, clock):
    for _ in range(12 * 6 - 1):
        clock.shift(timedelta(minutes=10))
        inside.get("/admin/")
    again = logged_in_by_form("biller")
    clock.shift(timedelta(minutes=10))
    assert is_inside(again)


def test_a_request_within_a_minute_writes_no_session(inside, clock, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    for seconds, writes in ((59, 0), (2, 1)):
        clock.shift(timedelta(seconds=seconds))
        with CaptureQueriesContext(connection) as asked:
            inside.get("/admin/")
        assert sum('UPDATE "django_session"' in each["sql"] for each in asked) == writes


def test_a_log_out_ends_the_session_and_clears_the_browser(inside):
    copied = inside.cookies["sessionid"].value
    answer = inside.post("/admin/logout/")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert "no-store" in answer.headers["Cache-Control"]
    thief = Client()
    thief.cookies["sessionid"] = copied
    assert not is_inside(thief)
    assert ends() == [("staff:biller", '{"because":"asked"}')]


def test_a_new_password_ends_every_other_session(inside):
    elsewhere = logged_in_by_form("biller")
    form = {"old_password": PASSWORD, "new_password1": OTHER, "new_password2": OTHER}
    assert inside.post("/admin/password_change/", form).status_code == 302
    assert is_inside(inside)
    assert not is_inside(elsewhere)


def test_a_new_password_is_on_record_and_a_refused_one_is_not(inside):
    wrong = {"old_password": "guessed", "new_password1": OTHER, "new_password2": OTHER}
    assert inside.post("/admin/password_change/", wrong).status_code == 200
    changes = AuditEntry.objects.filter(stream=STREAM, action="account.password_changed")
    assert not changes.exists()
    assert inside.post("/admin/password_change/", wrong | {"old_password": PASSWORD}).status_code == 302
    assert [(entry.actor, entry.payload) for entry in changes] == [("staff:biller", '{"user":"biller"}')]


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_goes_with_the_browser(inside, settings):
    cookie = inside.cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"], cookie["expires"]) == (True, "Lax", "")


def test_no_page_before_or_behind_the_log_in_is_cached(inside, client):
    for answer in (
        client.get("/admin/login/"), client.get("/admin/"), client.get("/admin/billing/invoice/"),
        inside.get("/admin/"), inside.get("/admin/nothing/"), inside.get("/admin/password_change/"),
        inside.get("/admin/billing/invoice/"),
    ):  # fmt: skip
        assert "no-store" in answer.headers["Cache-Control"], answer.wsgi_request.path


def test_the_end_of_a_session_is_not_put_off_by_strangers(clock):
    client = logged_in(member("clerk"))
    assert is_inside(client)
    clock.shift(timedelta(minutes=15))
    Client().get("/admin/")
    assert not is_inside(client)
