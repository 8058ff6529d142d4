"""Each office gets its one customer: adopted when Stripe has it, queued when not, and left to a person in doubt."""

import json
from io import StringIO
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from django.conf import settings
from django.core.management import call_command

from audit.models import AuditEntry
from billing.customer_backfill import backfill_customers
from billing.delivery import deliver_due
from billing.minimization.outbound_scan import judge, scanner
from billing.models import MessageKind, OutboxMessage
from offices.locking import OfficeNotFound
from offices.models import OfficeStatus, OfficeStripeAccount
from tests.billing.minimization.test_scan_outbound import candidate
from tests.billing.scenes import CLOSED_AT, SharedClock, drain
from tests.builders import ACTOR, make_office

pytestmark = pytest.mark.django_db

NOW = CLOSED_AT


@pytest.fixture
def clock(stripe):
    return SharedClock(NOW, stripe)


def backfill(**options):
    return backfill_customers(actor=ACTOR, now=NOW, **options)


def counts(summary):
    return {name: count for name, count in summary.counts.items() if count}


def with_customer(stripe, clock):
    """An office whose customer was made through the outbox."""
    office = make_office()
    backfill(office_reference=office.reference)
    drain(clock)
    return office, OfficeStripeAccount.objects.get(office=office)


def forget(account):
    """Let our books be as they were before we knew of the customer."""
    office = account.office
    account.delete()
    OutboxMessage.objects.filter(office=office).update(status="dead")
    return office


def copy_of(stripe, customer_id, *, names_the_office=True):
    """Staff make another customer by hand; return its id."""
    (held,) = [each for each in stripe.objects("customer") if each["id"] == customer_id]
    form = {"name": "By hand", "email": "by@hand.example"}
    if names_the_office:
        form["metadata[office_id]"] = held["metadata"]["office_id"]
    request = Request(
        f"{stripe.base_url}/v1/customers",
        data=urlencode(form).encode(),
        headers={"Authorization": f"Bearer {settings.STRIPE_API_KEY}"},
    )
    with urlopen(request, timeout=10) as reply:
        return json.load(reply)["id"]


def test_an_office_without_a_customer_gets_one_queued_and_the_outbox_makes_it(stripe, clock):
    office = make_office()

    assert counts(backfill()) == {"queued": 1}
    assert stripe.objects("customer") == []

    drain(clock)
    (customer,) = stripe.objects("customer")
    assert customer["metadata"] == {"office_id": str(office.pk)}
    assert counts(backfill()) == {"there_already": 1}


def test_a_second_backfill_writes_nothing(stripe, clock):
    make_office()
    backfill()
    entries, messages = AuditEntry.objects.count(), OutboxMessage.objects.count()
    assert counts(backfill()) == {"queued_already": 1}
    assert (AuditEntry.objects.count(), OutboxMessage.objects.count()) == (entries, messages)


def test_a_customer_that_names_the_office_is_adopted_and_none_is_made(stripe, clock):
    _office, account = with_customer(stripe, clock)
    customer_id = account.customer_id
    office = forget(account)

    assert counts(backfill()) == {"adopted": 1}

    assert OfficeStripeAccount.objects.get(office=office).customer_id == customer_id
    drain(clock)
    assert len(stripe.objects("customer")) == 1
    assert AuditEntry.objects.filter(action="office.customer_adopted").count() == 1
    assert counts(backfill()) == {"there_already": 1}


def test_adopting_puts_a_message_away_that_would_make_a_second_customer(stripe, clock):
    _office, account = with_customer(stripe, clock)
    office = forget(account)
    # The customer is there, but a message waits as if nobody had looked.
    OutboxMessage.objects.filter(office=office, kind=MessageKind.CUSTOMER).update(status="pending")
    assert counts(backfill())["adopted"] == 1
    deliver_due(clock=clock)
    assert len(stripe.objects("customer")) == 1


def test_an_adopted_customer_keeps_no_name_that_was_not_approved(stripe, clock):
    _office, account = with_customer(stripe, clock)
    stripe.dashboard.edit("customer", account.customer_id, name="Lee Family Chiropractic")
    office = forget(account)

    assert counts(backfill()) == {"adopted": 1, "profiles_queued": 1}
    drain(clock)
    assert [each["name"] for each in stripe.objects("customer")] == [office.opaque_name]


def test_two_customers_of_one_office_are_left_to_a_person(stripe, clock):
    _office, account = with_customer(stripe, clock)
    copy_of(stripe, account.customer_id)
    office = forget(account)

    summary = backfill()

    assert [(p.office, p.code) for p in summary.problems] == [(office.reference, "customer_duplicate")]
    assert "2 live customers" in summary.problems[0].message
    assert not OfficeStripeAccount.objects.exists()
    assert not OutboxMessage.objects.exclude(status="dead").exists()


def test_a_second_customer_beside_the_one_we_know_is_told(stripe, clock):
    office, account = with_customer(stripe, clock)
    copy_of(stripe, account.customer_id)
    assert [(p.office, p.code) for p in backfill().problems] == [(office.reference, "customer_duplicate")]


def test_a_duplicate_that_was_deleted_is_none(stripe, clock):
    _office, account = with_customer(stripe, clock)
    stripe.dashboard.delete_customer(copy_of(stripe, account.customer_id))
    assert counts(backfill()) == {"there_already": 1}


def test_a_customer_that_was_deleted_at_stripe_is_told_and_not_replaced(stripe, clock):
    office, account = with_customer(stripe, clock)
    stripe.dashboard.delete_customer(account.customer_id)
    summary = backfill()
    assert [(p.office, p.code) for p in summary.problems] == [(office.reference, "customer_deleted")]
    drain(clock)
    assert OutboxMessage.objects.count() == 1


def test_a_customer_that_vanished_counts_as_deleted(stripe, clock):
    _office, account = with_customer(stripe, clock)
    stripe.dashboard.forget("customer", account.customer_id)
    assert [p.code for p in backfill().problems] == ["customer_deleted"]


def test_a_customer_whose_metadata_was_changed_is_told(stripe, clock):
    _office, account = with_customer(stripe, clock)
    stripe.dashboard.edit("customer", account.customer_id, metadata={})
    assert [p.code for p in backfill().problems] == ["metadata_changed"]


def test_an_office_nobody_can_mail_to_is_parked(stripe, clock, settings):
    settings.BILLING_FALLBACK_EMAIL = ""
    office = make_office()
    summary = backfill()
    assert [(p.office, p.code) for p in summary.problems] == [(office.reference, "profile_email_missing")]
    assert not OutboxMessage.objects.exists()


def test_an_office_that_is_not_live_gets_no_customer_but_keeps_one_it_has(stripe, clock):
    make_office(status=OfficeStatus.CANCELED)
    make_office(parked_at=NOW)
    assert counts(backfill()) == {"not_live": 1}
    assert not OutboxMessage.objects.exists()


def test_a_dry_run_only_reads(stripe, clock):
    _office, account = with_customer(stripe, clock)
    forget(account)
    make_office()
    stripe.forget_requests()
    assert counts(backfill(dry_run=True)) == {"adopted": 1, "queued": 1}
    assert not OfficeStripeAccount.objects.exists()
    assert {request.method for request in stripe.requests} == {"GET"}


def test_one_walk_over_all_pages_serves_every_office(stripe, clock):
    _office, account = with_customer(stripe, clock)
    for _ in range(120):
        copy_of(stripe, account.customer_id, names_the_office=False)
    stripe.forget_requests()
    assert counts(backfill()) == {"there_already": 1}
    assert len(stripe.requests) == 2


def test_every_request_of_a_backfill_is_one_that_the_scan_allows(stripe, clock):
    _office, account = with_customer(stripe, clock)
    for _ in range(120):
        copy_of(stripe, account.customer_id, names_the_office=False)
    stripe.forget_requests()
    backfill()
    guard = scanner()
    asked = [candidate(raw) for raw in stripe.requests]
    assert [judge(request, guard).reason for request in asked] == ["allowed", "allowed"]
    other = asked[0] | {"params": asked[0]["params"] | {"created[gte]": "946684801"}}
    assert not judge(other, guard).allowed
    never_asked = asked[1] | {"params": asked[1]["params"] | {"starting_after": "cus_NeverAsked12345"}}
    assert not judge(never_asked, guard).allowed


def test_one_office_alone_and_an_unknown_one(stripe, clock):
    one = make_office()
    make_office()
    assert counts(backfill(office_reference=one.reference)) == {"queued": 1}
    with pytest.raises(OfficeNotFound):
        backfill(office_reference="nobody")


def command(*arguments):
    out = StringIO()
    try:
        call_command("backfill_stripe_customers", *arguments, stdout=out)
        code = 0
    except SystemExit as exit_:
        code = exit_.code
    return code, out.getvalue()


def test_the_command_says_that_the_outbox_sends_and_then_that_nothing_changed(stripe, clock):
    make_office()
    code, told = command()
    assert (code, told.splitlines()[0]) == (0, "Customers (the outbox makes those that are queued):")
    code, told = command()
    assert (code, told.splitlines()[0]) == (
        0, "Nothing changed: every office that needs a customer has one, or one is queued.",
    )  # fmt: skip


def test_the_command_says_when_stripe_cannot_be_asked(settings, stripe):
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    make_office()
    code, told = command("--json")
    assert code == 1
    assert json.loads(told)["problems"][0]["code"] == "connect_failed"
    assert not OutboxMessage.objects.exists()


def test_no_problem_quotes_the_id_of_a_customer(stripe, clock):
    _office, account = with_customer(stripe, clock)
    copy_of(stripe, account.customer_id)
    _code, told = command("--json")
    assert "customer_duplicate" in told
    assert account.customer_id not in told
