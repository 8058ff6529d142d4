"""Nobody gets into the console with less than a password and a code, and no answer tells which of them was wrong."""

import base64
import re
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import AuditEntry
from billing.models import Role, StaffDevice
from billing.staff_accounts import STREAM, create_staff_account, deactivate_staff_account, reset_staff_device
from tests.builders import ACTOR, utc
from tests.staff import PASSWORD, code_of, give_device, logged_in, logged_in_by_form, member

pytestmark = pytest.mark.django_db

NOW = utc("2026-03-02T09:00")
LOG_IN = "/admin/login/"
OWN = "quite another walk 7"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def biller():
    return member("biller", Role.BILLER)


def try_to_enter(client, username="biller", password=PASSWORD, code=""):
    return client.post(LOG_IN, {"username": username, "password": password, "otp_token": code})


def is_inside(client):
    return client.get("/admin/").status_code == 200


def errors(answer):
    return answer.context["form"].non_field_errors()


def entries():
    return [
        (entry.action, entry.actor, entry.payload) for entry in AuditEntry.objects.filter(stream=STREAM).order_by("seq")
    ]


def actions():
    return [action for action, _actor, _payload in entries()]


# --- Password and code ---
def test_password_and_code_open_the_console(biller, client):
    answer = try_to_enter(client, code=code_of("biller"))
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    assert is_inside(client)
    assert entries() == [("log_in", "staff:biller", '{"address":"127.0.0.1"}')]


def test_the_form_asks_for_all_three(client):
    page = client.get(LOG_IN).content.decode()
    assert all(f'name="{name}"' in page for name in ("username", "password", "otp_token"))
    assert 'autocomplete="one-time-code"' in page


@pytest.mark.parametrize(
    ("username", "password", "code"),
    [
        ("biller", PASSWORD, ""),
        ("biller", PASSWORD, "000000"),
        ("biller", PASSWORD, "aaaa-bbbb-cccc-dddd"),
        ("biller", PASSWORD, "١٢٣٤٥٦"),
        ("biller", "wrong", "right"),
        ("nobody", PASSWORD, "right"),
        ("nobody\x00", PASSWORD, "right"),
        ("", PASSWORD, "right"),
    ],
)
def test_every_wrong_answer_is_refused_and_those_that_judge_sound_the_same(biller, client, username, password, code):
    answer = try_to_enter(client, username, password, code_of("biller") if code == "right" else code)
    assert answer.status_code == 200
    assert not is_inside(client)
    if username.isalpha():
        assert errors(answer) == ["The user name, the password or the code is not right."]


def test_a_code_opens_once(biller):
    code = code_of("biller")
    assert is_inside_after(try_code(code))
    assert not is_inside_after(try_code(code))


def try_code(code):
    client = Client()
    try_to_enter(client, code=code)
    return client


def is_inside_after(client):
    return is_inside(client)


def test_a_code_of_another_person_opens_nothing(biller):
    member("other", Role.BILLER)
    assert not is_inside(try_code(code_of("other")))


@pytest.mark.parametrize(("steps", "opens"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_code(biller, steps, opens):
    device = StaffDevice.objects.get(user=biller)
    assert is_inside(try_code(device.code_at(int(NOW.timestamp()) // 30 + steps))) is opens


def test_after_wrong_codes_the_right_one_has_to_wait(biller, clock):
    for _ in range(2):
        try_code("000000")
        clock.shift(timedelta(seconds=1))
    assert not is_inside(try_code(code_of("biller")))
    clock.shift(timedelta(seconds=60))
    assert is_inside(try_code(code_of("biller")))
    assert actions().count("code.refused") == 3


def test_a_session_with_a_password_alone_reaches_nothing(biller):
    client = Client()
    client.force_login(biller)
    for name in ("index", "billing_invoice_changelist", "patients_patient_changelist", "password_change", "enrol"):
        assert client.get(reverse(f"admin:{name}")).status_code == 302, name


def test_a_code_that_belongs_to_somebody_else_verifies_no_session(biller):
    other = member("other")
    client = logged_in(biller)
    session = client.session
    session["otp_device_id"] = StaffDevice.objects.get(user=other).persistent_id
    session.save()
    assert not is_inside(client)


def test_the_key_of_the_session_changes_with_the_log_in(biller, client):
    client.get(LOG_IN)
    session = client.session
    session["before"] = 1
    session.save()
    before = session.session_key
    try_to_enter(client, code=code_of("biller"))
    assert client.session.session_key != before


def test_the_secret_and_the_recovery_codes_are_not_in_the_database_in_clear(biller):
    from django.db import connection

    device = StaffDevice.objects.get(user=biller)
    secret, codes = device.secret, device.new_recovery_codes()
    device.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret, recovery_digests FROM billing_staffdevice")
        ((stored, digests),) = cursor.fetchall()
    assert stored.startswith("1:")
    assert secret not in stored
    assert not [code for code in codes if code in digests or code.replace("-", "") in digests]


# --- Recovery codes ---
def test_a_recovery_code_opens_once_and_that_is_on_record(biller, clock):
    device = StaffDevice.objects.get(user=biller)
    codes = device.new_recovery_codes()
    device.save()
    assert len(set(codes)) == 10
    assert is_inside(try_code(f" {codes[3].upper()} "))
    assert not is_inside(try_code(codes[3]))
    clock.shift(timedelta(seconds=10))
    assert is_inside(try_code(codes[4].replace("-", "")))
    used = [payload for action, _actor, payload in entries() if action == "recovery_code.used"]
    assert used == ['{"left":9,"user":"biller"}', '{"left":8,"user":"biller"}']


# --- The first log-in ---
@pytest.fixture
def invited():
    return create_staff_account(username="newcomer", roles=[Role.VIEWER], actor=ACTOR, now=NOW)


def enrol(client, *, password=OWN, again=None, code=None):
    if code is None:
        device = StaffDevice.objects.get(user__username="newcomer")
        code = device.code_at(int(timezone.now().timestamp()) // 30)
    form = {"new_password1": password, "new_password2": again or password, "otp_token": code}
    return client.post("/admin/enrol/", form)


def test_the_first_log_in_leads_to_the_enrolment_and_nowhere_else(invited, client):
    answer = client.post(f"{LOG_IN}?next=/admin/billing/invoice/", {"username": "newcomer", "password": invited})
    assert answer.status_code == 302
    for address in ("/admin/", "/admin/billing/invoice/", "/admin/password_change/"):
        assert client.get(address, follow=True).redirect_chain[-1] == ("/admin/enrol/", 302)


def test_the_enrolment_shows_the_secret_as_picture_and_text_and_then_codes_once(invited, client):
    try_to_enter(client, "newcomer", invited)
    page = client.get("/admin/enrol/")
    device = StaffDevice.objects.get(user__username="newcomer")
    assert base64.b32encode(bytes.fromhex(device.secret)).decode() in page.content.decode()
    picture = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', page.content.decode())[1]
    assert b"<svg" in base64.b64decode(picture)
    assert "no-store" in page.headers["Cache-Control"]
    assert "img-src 'self' data:" in page.headers["Content-Security-Policy"]

    shown = enrol(client)
    codes = re.findall(r"<li>([a-z2-7-]{19})</li>", shown.content.decode())
    assert len(codes) == 10
    assert "no-store" in shown.headers["Cache-Control"]
    assert is_inside(client)
    assert client.get("/admin/enrol/").status_code == 302  # shown once
    assert is_inside_after(enter_with(codes[0]))
    assert actions()[:3] == ["account.created", "log_in", "device.enrolled"]


def enter_with(code):
    client = Client()
    try_to_enter(client, "newcomer", OWN, code)
    return client


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"code": "000000"}, "otp_token"),
        ({"password": "short"}, "new_password2"),
        ({"password": "password1234"}, "new_password2"),
        ({"password": "newcomer-123"}, "new_password2"),
        ({"again": "something else 12"}, "new_password2"),
    ],
)
def test_a_wrong_code_or_a_weak_password_enrols_nobody(invited, client, given, field):
    try_to_enter(client, "newcomer", invited)
    answer = enrol(client, **given)
    assert list(answer.context["form"].errors) == [field]
    assert not StaffDevice.objects.get().confirmed
    assert not is_inside(client)


def test_the_first_password_cannot_be_kept(invited, client):
    try_to_enter(client, "newcomer", invited)
    assert "new_password1" in enrol(client, password=invited).context["form"].errors


def test_the_first_password_opens_nothing_after_the_enrolment(invited, client):
    try_to_enter(client, "newcomer", invited)
    enrol(client)
    again = Client()
    try_to_enter(again, "newcomer", invited, code_of("newcomer"))
    assert not is_inside(again)


def test_an_invitation_ends_after_three_days(invited, client, clock):
    clock.shift(timedelta(hours=72))
    assert errors(try_to_enter(client, "newcomer", invited))


def test_an_invitation_that_ends_during_the_enrolment_enrols_nobody(invited, client, clock):
    clock.shift(timedelta(hours=71, minutes=59))
    try_to_enter(client, "newcomer", invited)
    clock.shift(timedelta(minutes=2))
    assert enrol(client, code="000000").status_code == 302
    assert not StaffDevice.objects.get().confirmed


def test_a_superuser_without_a_device_has_no_way_in_until_an_operator_invites(client):
    User.objects.create_superuser("root", password=PASSWORD)
    assert errors(try_to_enter(client, "root"))
    password = reset_staff_device(username="root", reason="made by createsuperuser", actor=ACTOR, now=NOW)
    assert try_to_enter(client, "root", password).status_code == 302


def test_somebody_who_is_no_staff_is_refused_like_anybody_else(client):
    user = User.objects.create_user("patient", password=PASSWORD)
    give_device(user)
    assert errors(try_to_enter(client, "patient", PASSWORD, code_of("patient")))


# --- A lost device, a closed account ---
def test_a_reset_ends_the_sessions_and_the_old_device_and_is_on_record(biller, client):
    inside = logged_in(biller)
    old = code_of("biller")
    password = reset_staff_device(username="biller", reason="lost telephone, called back", actor=ACTOR, now=NOW)
    assert not is_inside(inside)
    try_to_enter(client, code=old)
    assert not is_inside(client)
    try_to_enter(client, password=password)
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/admin/enrol/"
    assert ("device.reset", ACTOR, '{"reason":"lost telephone, called back","user":"biller"}') in entries()


def test_a_closed_account_is_out_at_once(biller, client):
    inside = logged_in(biller)
    assert deactivate_staff_account(username="biller", actor=ACTOR, now=NOW)
    assert not is_inside(inside)
    assert errors(try_to_enter(client))
    assert not deactivate_staff_account(username="biller", actor=ACTOR, now=NOW)


# --- Lock-out ---
def test_five_wrong_tries_lock_the_name_at_this_address_for_a_quarter_of_an_hour(biller, client, clock):
    for _ in range(5):
        answer = try_to_enter(client, password="wrong")
    assert answer.status_code == 429
    assert "locked for 15 minutes" in " ".join(answer.content.decode().split())
    assert try_to_enter(client, code=code_of("biller")).status_code == 429
    elsewhere = Client(REMOTE_ADDR="10.1.1.1")
    assert try_to_enter(elsewhere, code=code_of("biller")).status_code == 302
    clock.shift(timedelta(minutes=15, seconds=1))
    assert try_to_enter(client, code=code_of("biller")).status_code == 302
    assert "log_in.locked_out" in actions()


def test_wrong_codes_lock_out_too(biller, client):
    for _ in range(5):
        answer = try_to_enter(client, code="000000")
    assert answer.status_code == 429


def test_a_name_that_nobody_has_is_locked_with_the_same_page(biller):
    pages = []
    for username in ("biller", "nobody"):
        client = Client()
        for _ in range(5):
            answer = try_to_enter(client, username, "wrong")
        pages.append((answer.status_code, re.sub(r'value="[^"]{32,}"', "", answer.content.decode())))
    assert pages[0] == pages[1]


def test_what_was_typed_is_kept_nowhere_unless_it_is_a_name(biller, client):
    from axes.models import AccessAttempt

    typed = "my-secret-passphrase"
    for _ in range(6):
        try_to_enter(client, typed, "wrong", "123456")
        try_to_enter(client, "biller", "wrong", "123456")
    rows = str(list(AccessAttempt.objects.values()))
    assert "biller" in rows
    kept = rows + str(entries()) + str(list(AuditEntry.objects.values()))
    assert [word for word in (typed, "wrong", "123456") if word in kept] == []
    assert {payload for action, _actor, payload in entries() if action == "log_in.refused"} == {
        '{"address":"127.0.0.1"}', '{"address":"127.0.0.1","user":"biller"}'
    }  # fmt: skip


def test_failures_are_forgotten_when_their_time_is_over(biller, client, clock):
    from axes.models import AccessAttempt

    try_to_enter(client, "nobody", "wrong")
    clock.shift(timedelta(minutes=16))
    try_to_enter(client, "somebody", "wrong")
    assert AccessAttempt.objects.count() == 1


def test_the_address_behind_a_trusted_proxy_is_the_last_hop_that_is_not_ours(biller, settings):
    settings.TRUSTED_PROXIES = ["10.0.0.9"]
    proxied = {"REMOTE_ADDR": "10.0.0.9"}
    for _ in range(5):
        answer = try_to_enter(Client(**proxied, HTTP_X_FORWARDED_FOR="1.1.1.1, 203.0.113.7"), password="wrong")
    assert answer.status_code == 429
    for hops in ("203.0.113.8", "203.0.113.7, 203.0.113.8"):
        client = Client(**proxied, HTTP_X_FORWARDED_FOR=hops)
        assert try_to_enter(client, password="wrong").status_code == 200
    assert '"address":"203.0.113.7"' in entries()[0][2]


def test_the_log_in_through_the_form_opens_every_time(biller):
    assert is_inside(logged_in_by_form("biller"))
    assert is_inside(logged_in_by_form("biller"))
