"""The one place where the environment is read; every other module asks `django.conf.settings`.

Outside DEBUG a missing or default secret stops the program before anything else runs, and the
message names the setting (product.md, "Interface others rely on").
"""

from pathlib import Path
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

STRIPE_API_BASE = "https://api.stripe.com"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

# Development defaults begin with this word, so that one of them in production is recognised as a default.
DEVELOPMENT = "insecure-development-"
MINIMUM_KEY_LENGTH = 32  # characters, decisions.md 31: enough entropy for a derived 256-bit key


def secret(name: str, *, required: bool, minimum: int = MINIMUM_KEY_LENGTH) -> str:
    """Return one secret; raise ImproperlyConfigured, naming it, when it is missing, default or short."""
    values = secret_list(name, required=required, minimum=minimum)
    if len(values) > 1:
        raise ImproperlyConfigured(f"{name} takes one value, without commas.")
    return values[0]


def optional_secret(name: str, *, refuse_weak: bool) -> str:
    """Return one secret or, where nothing is set, an empty text; raise ImproperlyConfigured for a weak one."""
    return secret(name, required=refuse_weak) if env.str(name, default="").strip() else ""


def secret_list(
    name: str, *, required: bool, minimum: int = MINIMUM_KEY_LENGTH, default: str | None = None
) -> list[str]:
    """Return a comma-separated list of secrets (first writes, all read); raise ImproperlyConfigured when unfit."""
    values = [value.strip() for value in env.str(name, default="").split(",") if value.strip()]
    if not values:
        if required:
            raise ImproperlyConfigured(f"{name} is missing. `python manage.py generate_secrets` prints a full set.")
        return [default or DEVELOPMENT + name.lower().replace("_", "-").ljust(MINIMUM_KEY_LENGTH, "0")]
    if required:
        for value in values:
            _refuse_weak(name, value, minimum)
    return values


def stripe_api_base() -> str:
    """Return the address of Stripe's API: Stripe's own, or a loopback stand-in; anything else is refused."""
    base = env.str("STRIPE_API_BASE", default=STRIPE_API_BASE).rstrip("/")
    if base == STRIPE_API_BASE:
        return base
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or parts.hostname not in LOOPBACK_HOSTS or parts.path or parts.query:
        raise ImproperlyConfigured("STRIPE_API_BASE must be Stripe's own address or a loopback address.")
    return base


def _refuse_weak(name: str, value: str, minimum: int) -> None:
    if value.startswith(DEVELOPMENT) or value.lower().startswith(("change", "django-insecure")):
        raise ImproperlyConfigured(f"{name} still has a default value. `python manage.py generate_secrets` prints one.")
    if len(value) < minimum:
        raise ImproperlyConfigured(f"{name} needs at least {minimum} characters in each value.")
