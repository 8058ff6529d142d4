"""What is logged and where: lines on stderr in which only allowed fields can stand, so that no value leaks by a log.

JSON in production, readable on a terminal; stdout stays free for `--json`. Our own lines come from structlog: a
constant event code and fields of `FIELDS`, each of one type, none of them free text. Lines of libraries keep where they
come from and their constant template, never an argument. An exception keeps its type, its places in the code and an
incident id: a text such as PostgreSQL's `UniqueViolation` quotes the row. Only `DEBUG` shows texts and tracebacks.
"""

import logging
import logging.config
import re
import sys
import threading
from collections import Counter
from collections.abc import Mapping, MutableMapping
from enum import Enum
from types import MappingProxyType, TracebackType
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from billing_project.exception_facts import ExceptionFacts, clear_text, facts_of
from billing_project.request_ids import present_request_id

# What a line of ours may say beside its event. No field takes text: a code is a member of an enum, an error a class.
FIELDS: Mapping[str, type] = MappingProxyType(
    {"attempts": int, "code": Enum, "count": int, "error": type, "incident": UUID, "seconds": int, "status": int}
)
# These print URLs at INFO, and bodies or SQL parameters at DEBUG.
NEVER_BELOW_WARNING = ("stripe", "urllib3", "requests", "django.db.backends", "celery.worker.strategy", "axes")
# Loggers that bring handlers of their own (one of them mails tracebacks): their lines go through ours instead.
_WITHOUT_OWN_HANDLERS = ("django", "django.server", "gunicorn.error", "gunicorn.access")
# Libraries whose templates are literals of their source; of all others not even the template is kept.
_LITERAL_TEMPLATES = frozenset({"amqp", "celery", "django", "gunicorn", "kombu", "whitenoise"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_EVENT = re.compile(r"[a-z][a-z0-9_]{2,60}")

Line = MutableMapping[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

dropped: Counter[str] = Counter()
"""How many fields and events were not let into a line, by kind; a field's name is not kept, it could be a value."""


def logging_config(*, level: str) -> dict[str, Any]:
    """Return the dictConfig for one stderr handler at `level`; `configure` puts it into force."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "billing_project.logging.line_formatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            **{name: {"level": "WARNING"} for name in NEVER_BELOW_WARNING},
            **{name: {"handlers": [], "propagate": True} for name in _WITHOUT_OWN_HANDLERS},
        },
    }


def configure(config: dict[str, Any]) -> None:
    """Put the configuration into force for this process: the standard library, structlog, and the last words."""
    logging.config.dictConfig(config)
    # A handler that fails would print the record with its arguments.
    logging.raiseExceptions = False
    logging.captureWarnings(True)  # noqa: FBT003 - the standard library's own signature
    to_handler = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, only_allowed, to_handler],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _uncaught_in_thread


def line_formatter() -> logging.Formatter:
    """Return the formatter of every line that leaves the process."""
    renderer: Any = structlog.processors.JSONRenderer(default=_shown)
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=28)
    formatter = structlog.stdlib.ProcessorFormatter
    return formatter(
        foreign_pre_chain=[of_a_library],
        use_get_message=False,
        pass_foreign_args=True,
        processors=[_with_origin, formatter.remove_processors_meta, renderer],
    )


def only_allowed(_logger: Any, _method: str, line: Line) -> Line:
    """Keep the event if it is a code, and of the fields those that are listed and of their type; count the others."""
    event, exc_info = line.pop("event", None), line.pop("exc_info", None)
    kept: Line = {"event": event}
    if not isinstance(event, str) or not _EVENT.fullmatch(event):
        dropped["event"] += 1
        kept["event"] = "event_refused"
    refused = 0
    for name, value in line.items():
        if name in FIELDS and isinstance(value, FIELDS[name]):
            kept[name] = _shown(value)
        else:
            refused += 1
    if refused:
        dropped["field"] += refused
        kept["dropped"] = refused
    _add_exception(kept, exc_info)
    return kept


def of_a_library(_logger: Any, _method: str, line: Line) -> Line:
    """Describe a record of a library: its template without arguments, for a request the route and the status."""
    record: logging.LogRecord = line["_record"]
    kept: Line = {"event": "library_log", "_record": record, "_from_structlog": False}
    arguments = line.get("positional_args")
    if _debugging():
        kept["message"] = clear_text(str(line["event"]), arguments)
    elif arguments and record.name.partition(".")[0] in _LITERAL_TEMPLATES:
        kept["message"] = line["event"]
    _add_request(kept, record)
    _add_exception(kept, line.get("exc_info"))
    return kept


def _add_request(kept: Line, record: logging.LogRecord) -> None:
    """The route is a constant of our URL table; a path that no route matches could be anything."""
    request, status = getattr(record, "request", None), getattr(record, "status_code", None)
    route = getattr(getattr(request, "resolver_match", None), "route", None)
    method = getattr(request, "method", None)
    if isinstance(route, str):
        kept["route"] = route
    if method in _METHODS:
        kept["method"] = method
    if isinstance(status, int):
        kept["status"] = status
    if isinstance(number := getattr(request, "request_id", None), str):
        kept["request"] = number


def _add_exception(kept: Line, exc_info: Any) -> None:
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info if isinstance(exc_info, BaseException) else exc_info[1] if isinstance(exc_info, tuple) else None
    if error is None:
        return
    facts: ExceptionFacts = facts_of(error, with_text=_debugging())
    kept.setdefault("incident", str(facts.incident))
    kept.update(error=facts.types, places=facts.places)
    if facts.text:
        kept["traceback"] = facts.text


def _with_origin(_logger: Any, _method: str, line: Line) -> Line:
    record: logging.LogRecord = line["_record"]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="at")
    line.update(level=record.levelname.lower(), logger=record.name, line=record.lineno)
    if number := present_request_id():
        line["request"] = number
    return dict(stamp(None, "", dict(line)))


def _shown(value: Any) -> Any:
    """Return how a value of an allowed type is written."""
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, UUID):
        return str(value)
    return int(value) if isinstance(value, int) else "not shown"


def _debugging() -> bool:
    return settings.configured and settings.DEBUG


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say that the program ends with an exception, without its text."""
    if issubclass(kind, KeyboardInterrupt) or _debugging():
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger(__name__).critical("uncaught_exception", exc_info=error)


def _uncaught_in_thread(details: threading.ExceptHookArgs) -> None:
    if details.exc_value is not None and not isinstance(details.exc_value, SystemExit):
        _uncaught(details.exc_type, details.exc_value, details.exc_traceback)
