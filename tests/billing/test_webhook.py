"""The address Stripe posts to: genuine events are kept once with one statement, everything else is 4xx, never 5xx."""

import io
import json
import time

import pytest
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.test import Client

from billing import stripe_events
from billing.models import EventStatus, Invoice, InvoiceStatus, StripeEvent
from billing.webhook import LARGEST_BODY, stripe_webhook
from sandbox.stripe_standin import WebhookFault, sign
from tests.billing.scenes import CLOSED_AT, SharedClock, close_month, drain
from tests.builders import Clock

ADDRESS = "/webhooks/stripe/"
MARKER = "Amelie-Zweistein"


def event(**fields) -> dict:
    return {
        "id": "evt_1Genuine",
        "object": "event",
        "type": "invoice.paid",
        "created": 1_790_000_000,
        "livemode": False,
        "api_version": "2026-10-28.endive",
        "data": {"object": {"id": "in_1Ours", "object": "invoice", "customer_name": MARKER, "total": 400}},
    } | fields


def post(
    body: bytes | dict, *, secret: str | None = None, at: int | None = None, signature: str | None = None, **extra
):
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    secret = django_settings.STRIPE_WEBHOOK_SECRETS[0] if secret is None else secret
    signature = sign(body, secret, int(time.time()) if at is None else at) if signature is None else signature
    return Client().post(
        ADDRESS, body, content_type="application/json", headers={"Stripe-Signature": signature}, **extra
    )


# --- Accepted ---
@pytest.mark.django_db
def test_a_genuine_event_is_kept_with_one_statement_and_answered_with_200(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert post(event()).status_code == 200

    kept = StripeEvent.objects.get()
    assert (kept.event_id, kept.event_type, kept.object_id) == ("evt_1Genuine", "invoice.paid", "in_1Ours")
    assert (kept.api_version, kept.livemode, kept.status, kept.attempts) == (
        "2026-10-28.endive",
        False,
        EventStatus.PENDING,
        0,
    )
    assert int(kept.created.timestamp()) == 1_790_000_000
    assert kept.conflict_at is None


@pytest.mark.django_db
def test_nothing_of_the_body_is_stored():
    post(event(request={"id": "req_1Secret", "idempotency_key": "key-1Secret"}, account=f"acct {MARKER}"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM billing_stripeevent")
        stored = repr(cursor.fetchall())

    for marker in (MARKER, "req_1Secret", "key-1Secret", "400", "customer_name"):
        assert marker not in stored


@pytest.mark.django_db
@pytest.mark.parametrize("position", [0, 1])
def test_the_current_and_the_previous_secret_are_accepted(position, settings):
    assert post(event(), secret=settings.STRIPE_WEBHOOK_SECRETS[position]).status_code == 200


@pytest.mark.django_db
def test_a_replay_is_200_and_one_row(django_assert_num_queries):
    for _ in range(20):
        assert post(event()).status_code == 200

    kept = StripeEvent.objects.get()
    assert kept.conflict_at is None


@pytest.mark.django_db
def test_a_replay_of_a_processed_event_does_not_wake_it_again():
    post(event())
    StripeEvent.objects.update(status=EventStatus.DONE)
    post(event())

    assert StripeEvent.objects.get().status == EventStatus.DONE


@pytest.mark.django_db
def test_another_body_under_the_same_envelope_is_the_same_event():
    """Bodies may differ between deliveries (decisions.md 22)."""
    post(event())
    assert post(event(pending_webhooks=7)).status_code == 200
    assert StripeEvent.objects.get().conflict_at is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "other",
    [{"type": "invoice.voided"}, {"created": 1_790_000_001}, {"data": {"object": {"id": "in_2", "object": "invoice"}}}],
    ids=["type", "created", "object"],
)
def test_the_same_id_with_another_digest_is_marked_and_the_first_stays(other, django_assert_num_queries):
    post(event())
    with django_assert_num_queries(1):
        assert post(event(**other)).status_code == 200

    kept = StripeEvent.objects.get()
    assert kept.conflict_at is not None
    assert (kept.event_type, kept.object_id) == ("invoice.paid", "in_1Ours")


@pytest.mark.django_db
@pytest.mark.parametrize("age", [-299, 0, 58])
def test_a_signature_of_these_seconds_is_accepted(age):
    assert post(event(), at=int(time.time()) + age).status_code == 200


@pytest.mark.django_db
def test_an_event_about_something_without_an_id_is_kept_and_ignored():
    post(event(data={"object": {"object": "balance"}}, type="balance.available"))
    stripe_events.process_due(clock=Clock(StripeEvent.objects.get().next_attempt_at))

    assert StripeEvent.objects.get().status == EventStatus.IGNORED


# --- Refused ---
def refused(response, status: int = 400) -> None:
    assert response.status_code == status
    assert response.content == b""
    assert not StripeEvent.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "signature",
    [
        "",
        "nonsense",
        "t=,v1=",
        "t=1,t=2,v1=00",
        "v1=00",
        "t=99999999999999999999,v1=00",
        "t=1e9,v1=0",
        "\u00e9",
        "t=1" * 5000,
    ],
    ids=["none", "nonsense", "empty", "two times", "no time", "far", "float", "accent", "long"],
)
def test_a_wrong_signature_header_is_400(signature):
    refused(post(event(), signature=signature))


@pytest.mark.django_db
@pytest.mark.parametrize("secret", ["", " ", "whsec_test_nobody", "whsec_test_current,whsec_test_previous"])
def test_a_signature_of_another_secret_is_400(secret):
    refused(post(event(), secret=secret))


@pytest.mark.django_db
def test_an_empty_secret_in_the_settings_opens_nothing(settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["", " "]
    refused(post(event(), secret=""))
    refused(post(event(), secret=" "))


@pytest.mark.django_db
def test_a_body_that_changed_after_signing_is_400():
    body = json.dumps(event()).encode()
    signature = sign(body, django_settings.STRIPE_WEBHOOK_SECRETS[0], int(time.time()))
    refused(post(body.replace(b"400", b"401"), signature=signature))


@pytest.mark.django_db
@pytest.mark.parametrize("age", [-302, -86_400, 63, 86_400])
def test_a_signature_too_old_or_from_the_future_is_400(age):
    refused(post(event(), at=int(time.time()) + age))


SHAPES = {
    "a list": b"[1,2]",
    "an empty object": b"{}",
    "nothing": b"",
    "null": b"null",
    "a number": b"1e999",
    "text": b'"evt_1"',
    "cut off": b'{"id": "evt_1',
    "not a number": b'{"object": "event", "created": NaN}',
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "UTF-16": '{"object": "event"}'.encode("utf-16"),
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 30_000,
    "balanced brackets": b"[" * 100_000 + b"]" * 100_000,
    "a digit storm": b'{"object": "event", "created": ' + b"9" * 100_000 + b"}",
    "a lone surrogate": b'{"object": "event", "id": "\\ud800"}',
    "a null byte": b'{"object": "event", "id": "evt_\\u0000"}',
}


@pytest.mark.django_db
@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_a_signed_body_that_is_no_event_is_400(body):
    refused(post(body))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"id": None}, {"id": "evt_"}, {"id": "in_1"}, {"id": "evt_" + "x" * 200}, {"id": ["evt_1"]},
        {"id": "evt_1\x00"},
        {"object": "invoice"}, {"type": None}, {"type": "Invoice.Paid!"}, {"type": "x" * 300}, {"type": 5},
        {"created": "now"}, {"created": None}, {"created": -1}, {"created": 2**41}, {"created": True}, {"created": 1.5},
        {"livemode": 1}, {"livemode": None}, {"data": None}, {"data": []}, {"data": {}}, {"data": {"object": "in_1"}},
        {"api_version": 5}, {"api_version": "'; DROP TABLE"}, {"data": {"object": {"id": "in_1"}}},
    ],
    ids=lambda fields: f"{next(iter(fields))}={str(next(iter(fields.values())))[:20]!r}",
)  # fmt: skip
def test_a_signed_event_with_a_field_of_another_shape_is_400(fields):
    refused(post(event(**fields)))


LONGEST = {
    "id": "evt_" + "x" * 76,
    "type": "x" * 60 + "." + "y" * 19,
    "created": 253_402_300_799,
    "api_version": "2026-10-28." + "v" * 29,
    "data": {"object": {"id": "a" * 20 + "_" + "x" * 59, "object": "invoice"}},
}


@pytest.mark.django_db
def test_the_longest_values_that_are_accepted_fit_the_columns():
    """What the shape lets in must not fail in the database: that would be a 503, which Stripe repeats for days."""
    assert post(event(**LONGEST)).status_code == 200
    kept = StripeEvent.objects.get()
    assert (kept.event_id, kept.event_type, kept.api_version) == tuple(
        LONGEST[name] for name in ("id", "type", "api_version")
    )
    assert kept.object_id == LONGEST["data"]["object"]["id"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["id", "type", "created", "api_version"])
def test_one_more_than_the_longest_value_is_400(name):
    more = LONGEST[name] + (1 if name == "created" else "x")
    refused(post(event(**LONGEST | {name: more})))


@pytest.mark.django_db
def test_an_object_id_that_is_too_long_is_not_kept():
    assert post(event(data={"object": {"id": "in_" + "x" * 78, "object": "invoice"}})).status_code == 200
    assert StripeEvent.objects.get().object_id == ""


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head"])
def test_another_method_is_405(method):
    response = getattr(Client(), method)(ADDRESS)
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"


@pytest.mark.django_db
def test_a_declared_length_that_is_too_large_is_413_before_a_byte_is_read():
    class Untouchable(io.RawIOBase):
        def read(self, *_args):
            raise AssertionError("the body was read")

    refused_answer = stripe_webhook(wsgi_request(Untouchable(), CONTENT_LENGTH=str(LARGEST_BODY + 1)))
    refused(refused_answer, 413)


def wsgi_request(stream, **environ) -> WSGIRequest:
    return WSGIRequest(
        {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": ADDRESS,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "443",
            "wsgi.input": stream,
            **environ,
        }
    )


@pytest.mark.django_db
@pytest.mark.parametrize("environ", [{}, {"CONTENT_LENGTH": ""}, {"HTTP_TRANSFER_ENCODING": "chunked"}])
def test_a_body_without_a_declared_length_is_not_read_at_all(environ):
    """WSGI bodies end where their length says: without one there is no body, however much arrives."""
    stream = io.BytesIO(b"x" * (LARGEST_BODY * 2))
    refused(stripe_webhook(wsgi_request(stream, **environ)))
    assert stream.tell() == 0


@pytest.mark.django_db
def test_a_body_longer_than_it_declared_is_cut_and_refused():
    body = json.dumps(event()).encode()
    signature = sign(body, django_settings.STRIPE_WEBHOOK_SECRETS[0], int(time.time()))
    request = wsgi_request(io.BytesIO(body), CONTENT_LENGTH=str(len(body) - 5), HTTP_STRIPE_SIGNATURE=signature)
    refused(stripe_webhook(request))


@pytest.mark.django_db
@pytest.mark.parametrize("length", ["-1", "-262145", "many", "1_000_000", "\u0662", "0x10", "1e3"])
def test_a_length_that_is_no_length_is_a_4xx(length):
    answer = stripe_webhook(wsgi_request(io.BytesIO(b"{}"), CONTENT_LENGTH=length))
    assert answer.status_code in {400, 413}


@pytest.mark.django_db
@pytest.mark.parametrize(("size", "status"), [(LARGEST_BODY, 200), (LARGEST_BODY + 1, 413)])
def test_the_greatest_body_is_accepted_and_one_byte_more_is_not(size, status):
    padded = event(padding="")
    padded["padding"] = "x" * (size - len(json.dumps(padded)))
    assert post(padded).status_code == status


# --- The database is down ---
@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_down_is_503_and_the_next_delivery_is_kept():
    connection.close()
    reachable = dict(connection.settings_dict)
    broken = {"NAME": "/no/such/place/billing.sqlite3"} if connection.vendor == "sqlite" else {"PORT": "1"}
    connection.settings_dict.update(broken)
    try:
        assert post(event()).status_code == 503
    finally:
        connection.settings_dict.update(reachable)
        connection.close()
    assert post(event()).status_code == 200
    assert StripeEvent.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_cut_is_opened_anew_and_the_event_is_kept():
    StripeEvent.objects.count()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()

    assert post(event()).status_code == 200
    assert StripeEvent.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_refusals_do_not_touch_the_database():
    connection.close()
    post(event(), secret="whsec_test_nobody")
    post(b"[1,2]")
    assert connection.connection is None


# --- From Stripe to the inbox and on ---
@pytest.mark.django_db
def test_a_payment_at_stripe_arrives_through_the_view_duplicated_and_reordered(stripe):
    invoice = close_month()
    drain(SharedClock(CLOSED_AT, stripe))
    invoice.refresh_from_db()
    stripe.set_webhook(lambda body, headers: post(body, signature=headers["Stripe-Signature"]).status_code)
    stripe.script_webhooks("*", [WebhookFault.DUPLICATED, WebhookFault.REORDERED] * 20)
    stripe.dashboard.decline(invoice.stripe_invoice_id)
    stripe.dashboard.pay_invoice(invoice.stripe_invoice_id)

    assert {delivery.status for delivery in stripe.deliver_now()} == {200}
    assert stripe.undelivered() == []
    assert StripeEvent.objects.count() == len(stripe.objects("event"))
    stripe_events.process_due(clock=Clock(StripeEvent.objects.latest("received_at").received_at))

    assert Invoice.objects.get(pk=invoice.pk).status == InvoiceStatus.PAID
