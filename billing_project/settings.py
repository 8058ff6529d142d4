"""Django's settings, filled from the environment (see environment.py for how secrets are refused)."""

import os
import sys
from datetime import timedelta

from csp.constants import NONCE
from django.core.exceptions import ImproperlyConfigured

from billing_project import console, sessions
from billing_project.environment import BASE_DIR, env, optional_secret, secret, secret_list, stripe_api_base
from billing_project.logging import logging_config

if os.environ.get("STRIPE_LOG"):
    # The SDK would print URLs and bodies to stderr on its own (stripe/facts.md, "The transport is the choke point").
    raise ImproperlyConfigured("STRIPE_LOG must not be set: the Stripe SDK would log request bodies.")

VAR_DIR = BASE_DIR / "var"
VAR_DIR.mkdir(exist_ok=True)

DEBUG = env.bool("DEBUG", default=False)
# The command that prints a fresh set of secrets is the only one that must run without any.
_REQUIRED = not DEBUG and sys.argv[1:2] != ["generate_secrets"]

# --- Secrets: each list writes with its first value and reads with all of them ---
SECRET_KEY = secret("SECRET_KEY", required=_REQUIRED)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
FIELD_ENCRYPTION_KEYS = secret_list("FIELD_ENCRYPTION_KEYS", required=_REQUIRED)
BLIND_INDEX_KEYS = secret_list("BLIND_INDEX_KEYS", required=_REQUIRED)
AUDIT_KEYS = secret_list("AUDIT_KEYS", required=_REQUIRED)
AUDIT_SIGNING_KEY = secret_list("AUDIT_SIGNING_KEY", required=_REQUIRED)
STRIPE_API_KEY = secret("STRIPE_API_KEY", required=_REQUIRED, minimum=8)
STRIPE_WEBHOOK_SECRETS = secret_list("STRIPE_WEBHOOK_SECRETS", required=_REQUIRED, minimum=8)

# --- Stripe ---
STRIPE_API_BASE = stripe_api_base()
STRIPE_RATE_PER_SECOND = env.int("STRIPE_RATE_PER_SECOND", default=20)
BILLING_FALLBACK_EMAIL = env.str("BILLING_FALLBACK_EMAIL", default="")
BILLING_RUN_CAP_CENTS = env.int("BILLING_RUN_CAP_CENTS", default=500_000_000)  # $5,000,000, decisions.md 20

# --- Where it runs ---
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
SERVE_INSECURE_LOOPBACK = env.bool("SERVE_INSECURE_LOOPBACK", default=False)
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
AUDIT_ANCHORS_PATH = env.str("AUDIT_ANCHORS_PATH", default="")
ALERT_WEBHOOK_URL = env.str("ALERT_WEBHOOK_URL", default="")
METRICS_TOKEN = optional_secret("METRICS_TOKEN", refuse_weak=_REQUIRED)  # without it there is no /metrics
ROOT_URLCONF = "billing_project.urls"
WSGI_APPLICATION = "billing_project.wsgi.application"

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # its look; the site is ours
    "unfold.contrib.import_export",  # the look of the export pages; must stand before the library's own templates
    "billing_project.console_app.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "django_otp",
    "axes",
    "rest_framework",
    "rest_framework_api_key",
    "django_filters",
    "import_export",
    "drf_spectacular",
    "drf_standardized_errors",
    "audit",
    "offices",
    "patients",
    "billing",
    "sandbox",
]

MIDDLEWARE = [
    "billing_project.request_ids.RequestIdMiddleware",
    "billing_project.proxies.TrustedProxyMiddleware",
    "billing_project.console_addresses.ConsoleAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "billing_project.content_policy.ContentPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "billing_project.sessions.StaffSessionMiddleware",
    "billing.staff_log_in.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "billing.admin.access.PatientReadsMiddleware",
    "axes.middleware.AxesMiddleware",  # last, as it says itself: it turns a lock-out into its page
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    ["billing_project.mended_templates.FilesystemLoader", "billing_project.mended_templates.AppLoader"],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- Database ---
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'billing.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # One writer at a time: take the write lock when the transaction begins. With the default mode 265 of 900
    # competing transactions failed, with IMMEDIATE none (performance.md, "SQLite").
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # recursive_triggers: without it INSERT OR REPLACE deletes past the triggers that forbid it.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
        "PRAGMA recursive_triggers=ON;",
    }
else:
    # Compiling a statement costs up to 600 ms each time, and ours run in 10 (bench/billing_run.py).
    # A connection costs more than most calls. `?conn_max_age=0` in DATABASE_URL closes each after its request.
    DATABASES["default"].setdefault("CONN_MAX_AGE", 60)
    DATABASES["default"].setdefault("CONN_HEALTH_CHECKS", True)  # one that the database has dropped fails nobody
    _options = DATABASES["default"].setdefault("OPTIONS", {})
    _options.setdefault("options", "-c jit=off")
    if env.bool("PREPARED_STATEMENTS", default=True):
        # Nothing is prepared for being frequent, only what asks for it (audit/compiled.py).
        _options.setdefault("prepare_threshold", sys.maxsize)

# --- Cache: the shared rate limiter needs one that every process sees ---
CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}

# --- The API: calls of one key in a minute; a portal that registers 100,000 accounts needs two hours ---
API_RATE_PER_MINUTE = env.int("API_RATE_PER_MINUTE", default=1200)

# --- Celery: the rows are the queue, Celery is only the doorbell (architecture.md) ---
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="")
CELERY_TASK_ALWAYS_EAGER = not CELERY_BROKER_URL

# --- Time and language ---
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_USE_FINDERS = True

# --- Security: everything on, except TLS when the demo serves plain loopback ---
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not (SERVE_INSECURE_LOOPBACK or DEBUG)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SESSION_COOKIE_HTTPONLY = True
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_AGE = int(sessions.LONGEST.total_seconds())  # the server's own record goes too
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 0 if SERVE_INSECURE_LOOPBACK or DEBUG else 31_536_000  # one year
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
if SERVE_INSECURE_LOOPBACK:
    if not set(ALLOWED_HOSTS) <= {"127.0.0.1", "localhost", "[::1]"}:
        raise ImproperlyConfigured("SERVE_INSECURE_LOOPBACK is only for loopback: fix ALLOWED_HOSTS.")
    # Plain HTTP on loopback: HSTS, TLS redirect and secure cookies cannot be on there (decisions.md 31).
    SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008", "security.W012", "security.W016"]

_SELF = ["'self'"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        # Scripts and styles of our own files only; billing_project/content_policy.py says what the console needs more.
        "default-src": _SELF,
        "style-src": ["'self'", NONCE],  # the page of the API carries its few lines of style itself
        "object-src": ["'none'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "form-action": _SELF,
        "base-uri": _SELF,
    }
}

# --- Who comes in: password and code at once, and a lock after wrong ones ---
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "billing.staff_log_in.StaffBackend"]
AXES_FAILURE_LIMIT = 5  # of name and address together: nobody can lock a colleague out from elsewhere
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_COOLOFF_TIME = timedelta(minutes=15)  # then failures are deleted too
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # a lock that each try prolongs would be a way to keep one out
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_CALLABLE = "billing.admin.access.name_for_lockout"
AXES_CLIENT_IP_CALLABLE = "billing_project.proxies.client_address"
AXES_LOCKOUT_CALLABLE = "billing.admin.log_in.locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "otp_token", "csrfmiddlewaretoken", "next"]  # kept nowhere
AXES_DISABLE_ACCESS_LOG = True  # the audit trail has it
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# A webhook or API body is refused above this size before it is read further.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576  # 1 MiB

# Exporting needs a permission of its own, `export_<model>`: who may look at rows may not carry them away by that.
IMPORT_EXPORT_EXPORT_PERMISSION_CODE = "export"

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_standardized_errors.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # A view opens itself: billing/api/viewset.py names who may enter, any other view is closed.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS would describe fields to whoever asks; the schema does that
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is an unknown parameter like any other
    "COERCE_DECIMAL_TO_STRING": True,
}

_PROBLEM = "billing.api.errors.ProblemSerializer"
_ERROR_STATUSES = ["400", "401", "403", "404", "405", "406", "415", "429", "500"]
DRF_STANDARDIZED_ERRORS = {
    "EXCEPTION_HANDLER_CLASS": "billing.api.errors.ApiExceptionHandler",
    "ALLOWED_ERROR_STATUS_CODES": _ERROR_STATUSES,
    "ERROR_SCHEMAS": dict.fromkeys(_ERROR_STATUSES, _PROBLEM),  # one shape for all, kind to generated clients
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Clinic billing API",
    "DESCRIPTION": "Register patient accounts, activate them with billing, and read what an office owes. "
    "Amounts are decimal text, ids are UUIDs, times are ISO 8601 with their zone. This is version 1; "
    "`Accept: application/json; version=1` pins it. docs/api.md leads to the first activation.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "InvoiceStatus": "billing.models.InvoiceStatus",
        "OfficeBillingStatus": "billing.api.summary.STATUSES",
    },
    "PREPROCESSING_HOOKS": ["billing.api.schema.without_trailing_slash"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "billing.api.schema.closed_bodies",
        "billing.api.schema.headers",
    ],
}

UNFOLD = console.UNFOLD
LOGIN_REDIRECT_URL = "admin:index"  # unfold's log-in form does not say where to go on to

LOGGING = logging_config(level=env.str("LOG_LEVEL", default="INFO"))
LOGGING_CONFIG = "billing_project.logging.configure"
