"""The product's own settings with test secrets; DATABASE_URL, CELERY_BROKER_URL and REDIS_URL choose the machine."""

import os

_TEST_ENVIRONMENT = {
    "SECRET_KEY": "test-secret-key-of-enough-length-0123456789",
    "FIELD_ENCRYPTION_KEYS": "test-field-key-of-enough-length-0123456789",
    "BLIND_INDEX_KEYS": "test-blind-index-key-of-enough-length-0123456789",
    "AUDIT_KEYS": "test-audit-key-of-enough-length-0123456789",
    "AUDIT_SIGNING_KEY": "test-audit-signing-key-of-enough-length-0123456789",
    "AUDIT_ANCHORS_PATH": "",
    "STRIPE_API_KEY": "sk_test_stand_in",
    "STRIPE_WEBHOOK_SECRETS": "whsec_test_current,whsec_test_previous",
    "STRIPE_API_BASE": "http://127.0.0.1:9",
    "BILLING_FALLBACK_EMAIL": "billing@vendor.example",
    "SERVE_INSECURE_LOOPBACK": "true",
    "STRIPE_RATE_PER_SECOND": "100000",
    "API_RATE_PER_MINUTE": "1000000",
}
for _name, _value in _TEST_ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

from billing_project.settings import *  # noqa: E402, F403
from billing_project.settings import ALLOWED_HOSTS, BASE_DIR, DATABASES  # noqa: E402

ALLOWED_HOSTS = [*ALLOWED_HOSTS, "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["CONN_MAX_AGE"] = 0  # a test's threads end, and a connection kept would hold the database
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: threads and child processes must see the same database.
    DATABASES["default"]["TEST"] = {"NAME": str(BASE_DIR / "var" / "test.sqlite3")}
