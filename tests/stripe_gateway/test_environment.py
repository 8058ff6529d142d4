"""What the machine, the SDK and its environment would add to a request or print of it, tried."""

import contextlib
import logging
import os
import subprocess
import sys

import pytest
import stripe

from billing.stripe_gateway.client import (
    API_VERSION,
    GuardedClient,
    RefusingClient,
    StripeLoggingEnabled,
    install,
)
from billing.stripe_gateway.operation import Operation
from billing.stripe_gateway.replies import StripeReplyUnusable
from tests.stripe_gateway.conftest import CUSTOMER, Answer, json_answer
from tests.stripe_gateway.samples import API_KEY, KEY, SAMPLES, sample

MARKER = "Zzyzx-Marker-1970"


@pytest.fixture(autouse=True)
def _installed(gateway):
    """The gateway fixture installs the process-wide guards."""


def _call(gateway, one=None):
    one = one or sample(Operation.RETRIEVE_CUSTOMER)
    write = one.request.encode().method == "POST"
    return gateway.call(one.request, expectation=one.expectation, idempotency_key=KEY if write else None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status, gateway, loopback):
    loopback.answers = [Answer(status, b"{}", {"Location": f"{loopback.base}/v1/elsewhere"})]
    with pytest.raises(StripeReplyUnusable):
        _call(gateway)
    assert len(loopback.seen) == 1


def test_netrc_and_proxies_of_the_machine_change_nothing(loopback, gateway, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(stripe, "proxy", "http://127.0.0.1:9")
    _call(gateway)
    assert dict(loopback.seen[0].headers)["authorization"] == f"Bearer {API_KEY}"


def test_cookies_are_neither_kept_nor_sent(loopback, gateway):
    loopback.default = json_answer(CUSTOMER, Set_Cookie="track=1; Path=/")
    _call(gateway)
    _call(gateway)
    assert "cookie" not in loopback.seen[1].raw.decode().lower()


@pytest.mark.parametrize("one", SAMPLES, ids=lambda s: s.name)
def test_the_bytes_on_the_wire_are_the_judged_request_and_nothing_more(one, loopback, gateway, monkeypatch):
    monkeypatch.setattr(stripe, "enable_telemetry", True)  # even when somebody turns it on again
    monkeypatch.setattr(stripe, "app_info", {"name": MARKER, "version": None, "url": None, "partner_id": None})
    for _ in range(2):
        with contextlib.suppress(StripeReplyUnusable):  # the answer is always a customer; only the request matters
            _call(gateway, one)
    encoded = one.request.encode()
    expected = {"host", "accept-encoding", "user-agent", "authorization", "stripe-version"}
    if encoded.method == "POST":
        expected |= {"content-type", "content-length", "idempotency-key"}
    assert len(loopback.seen) == 2
    for seen in loopback.seen:
        assert {name.lower() for name, _ in seen.headers} == expected
        assert dict(seen.headers)["user-agent"] == "clinic-billing/1"
        assert seen.line.split(" ")[0] == encoded.method
        assert MARKER not in seen.raw.decode()


def test_process_wide_settings_are_closed():
    install()
    install()
    assert isinstance(stripe.default_http_client, RefusingClient)
    assert not isinstance(stripe.default_http_client, GuardedClient)
    assert (stripe.api_key, stripe.max_network_retries, stripe.enable_telemetry) == (None, 0, False)
    for base in (stripe.api_base, stripe.connect_api_base, stripe.upload_api_base, stripe.meter_events_api_base):
        assert base.endswith(".invalid")
    filters = logging.getLogger("stripe").filters
    assert len([f for f in filters if type(f).__name__ == "_ErrorsOnly"]) == 1


def test_the_gateway_speaks_the_version_the_sdk_describes():
    assert stripe.api_version == API_VERSION


def test_the_sdk_logs_nothing_even_at_debug(gateway, loopback, caplog):
    for name in ("stripe", "urllib3.connectionpool", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    loopback.answers = [json_answer({"error": {"message": MARKER, "code": "card_declined"}}, 402)]
    with pytest.raises(Exception, match="card_declined"):
        _call(gateway, sample(Operation.PAY_INVOICE))
    _call(gateway)
    assert caplog.text == ""


def test_stripe_log_stops_the_start(monkeypatch):
    monkeypatch.setenv("STRIPE_LOG", "debug")
    with pytest.raises(StripeLoggingEnabled):
        install()
    monkeypatch.delenv("STRIPE_LOG")
    monkeypatch.setattr(stripe, "log", "info")
    with pytest.raises(StripeLoggingEnabled):
        install()


def test_a_warning_that_stripe_asks_for_is_not_printed(gateway, loopback, recwarn):
    loopback.answers = [json_answer(CUSTOMER, Stripe_Notice=MARKER, Request_Id=MARKER)]
    _call(gateway)
    assert MARKER not in "".join(str(w.message) for w in recwarn.list)


def test_the_package_needs_no_django_and_only_the_client_imports_stripe():
    code = (
        "import sys\n"
        "import billing.stripe_gateway.guard, billing.stripe_gateway.outbound, billing.stripe_gateway.webhook\n"
        "import billing.stripe_gateway.rate_limit, billing.stripe_gateway.evidence\n"
        "assert 'stripe' not in sys.modules\n"
        "import billing.stripe_gateway.client\n"
        "assert 'django' not in sys.modules\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_a_forked_process_opens_its_own_connection(gateway, loopback):
    _call(gateway)
    child = os.fork()
    if child == 0:
        try:
            _call(gateway)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    _call(gateway)
    assert len(loopback.seen) == 3
    first, forked, again = (seen.connection for seen in loopback.seen)
    assert first == again != forked
