"""Forwarding headers are believed only from the proxies that the settings name."""

import pytest
from django.core.checks import run_checks
from django.http import HttpResponse
from django.test import RequestFactory

from billing_project.proxies import TrustedProxyMiddleware


@pytest.mark.parametrize(("trusted", "secure"), [(["10.0.0.9"], True), (["10.0.0.1"], False), ([], False)])
def test_a_forwarded_scheme_counts_only_from_a_trusted_proxy(settings, trusted, secure):
    settings.TRUSTED_PROXIES = trusted
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.9", HTTP_X_FORWARDED_PROTO="https")
    seen = []

    TrustedProxyMiddleware(lambda passed: seen.append(passed.is_secure()) or HttpResponse())(request)

    assert seen == [secure]


def test_a_rate_limit_that_workers_do_not_share_stops_the_start(settings):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:6379/5"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert "billing.E001" in {message.id for message in run_checks()}

    settings.CELERY_BROKER_URL = ""
    assert "billing.E001" not in {message.id for message in run_checks()}
