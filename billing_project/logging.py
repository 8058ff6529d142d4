"""What is logged and where: short lines on stderr, so that `--json` on stdout stays one object.

The `stripe` and `urllib3` loggers print URLs at INFO and bodies at DEBUG; they are held at WARNING whatever
the chosen level (stripe/facts.md). `django.db.backends` prints SQL parameters at DEBUG and stays at WARNING too.
"""

from typing import Any

NEVER_BELOW_WARNING = ("stripe", "urllib3", "requests", "django.db.backends", "celery.worker.strategy")


def logging_config(*, level: str) -> dict[str, Any]:
    """Return the dictConfig for one stderr handler at `level`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {name: {"level": "WARNING"} for name in NEVER_BELOW_WARNING},
    }
