"""The environment of `manage.py demo`: throw-away secrets, SQLite under `var/`, Stripe on loopback.

The settings refuse to start without secrets and read the address of Stripe at once, so this runs before they load and
imports nothing of Django. What the caller's environment says already stands, but for the address of Stripe: the demo
never speaks to the real one.
"""

import os
import secrets
import socket
from pathlib import Path
from urllib.parse import quote, urlsplit

PROJECT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"
KEY_BYTES = 32  # 256 bits of entropy, 64 hexadecimal characters

FIXED = {
    "DEBUG": "false",  # the demo shows the product as it runs in production
    "ALLOWED_HOSTS": f"{LOOPBACK},localhost",
    "SERVE_INSECURE_LOOPBACK": "true",
    "BILLING_FALLBACK_EMAIL": "billing@vendor.example",
    "STRIPE_RATE_PER_SECOND": "1000",  # the stand-in bears more than Stripe does
    "LOG_LEVEL": "WARNING",  # the account that the demo prints stays readable
}


def prepare(var: Path = PROJECT / "var") -> None:
    """Fill `os.environ` with what the settings need, keeping what is set; secrets are made once, in `var/demo.env`."""
    var.mkdir(exist_ok=True)
    defaults = {
        **FIXED,
        "DATABASE_URL": f"sqlite:///{quote(str(var / 'demo.sqlite3'))}",
        **_kept_secrets(var / "demo.env"),
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if urlsplit(os.environ.get("STRIPE_API_BASE", "")).hostname not in {LOOPBACK, "localhost", "::1"}:
        os.environ["STRIPE_API_BASE"] = f"http://{LOOPBACK}:{_stripe_port(var / 'demo.port')}"


def _kept_secrets(path: Path) -> dict[str, str]:
    """Return the secrets of earlier runs, so that the demo's database stays readable; make what is missing."""
    kept = dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}
    complete = _new_secrets() | kept
    if complete != kept:
        # Only the owner may read it from its first byte on.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.writelines(f"{name}={value}\n" for name, value in complete.items())
    return complete


def _new_secrets() -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_hex(KEY_BYTES),
        "FIELD_ENCRYPTION_KEYS": secrets.token_hex(KEY_BYTES),
        "BLIND_INDEX_KEYS": secrets.token_hex(KEY_BYTES),
        "AUDIT_KEYS": secrets.token_hex(KEY_BYTES),
        "AUDIT_SIGNING_KEY": secrets.token_hex(KEY_BYTES),
        "STRIPE_API_KEY": "sk_test_" + secrets.token_hex(KEY_BYTES),
        "STRIPE_WEBHOOK_SECRETS": "whsec_" + secrets.token_hex(KEY_BYTES),
    }


def _stripe_port(path: Path) -> int:
    """Return the port of earlier runs while it is free, so that the links to their invoices' pages stay good."""
    kept = path.read_text(encoding="ascii").strip() if path.exists() else ""
    port = (_free_port(int(kept)) if kept.isdigit() else None) or _free_port(0)
    if str(port) != kept:
        path.write_text(f"{port}\n", encoding="ascii")
    return port or 0


def _free_port(wanted: int) -> int | None:
    """Return the wanted port (0: any), or None when somebody listens there."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except (OSError, OverflowError):
            return None
        return int(probe.getsockname()[1])
