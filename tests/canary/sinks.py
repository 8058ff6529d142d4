"""Every way out of the program, and what went out by it."""

import contextlib
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from redis import Redis

from billing_project.logging import line_formatter
from sandbox.stripe_standin import StripeStandIn

# Every way out that privacy names, and the sinks in which what went out by it is searched. A test compares this with
# what was really searched, so that neither a way without a sink nor a sink that nobody reads goes unnoticed.
WAYS_OUT = {
    "requests to Stripe: address, headers, body, idempotency key, user agent": (
        "stripe",
        "table billing_outboundrequest",
    ),
    "what waits for Stripe": ("table billing_outboxmessage", "table billing_outboxstep"),
    "logs at every level, with exceptions and what PostgreSQL says of an error": ("log",),
    "what commands print": ("terminal",),
    "pages and API: bodies, headers, cookies, messages, errors with DEBUG off, schema, autocomplete": ("answer",),
    "the browser's history: titles, addresses": ("title", "address"),
    "mails, of Django's error reports too": ("mail",),
    "arguments of tasks": ("redis",),
    "the cache": ("cache",),
    "the admin's own log, and sessions": ("table django_admin_log", "table django_session"),
    "exports": ("export csv", "export xlsx"),
    "evidence": ("evidence",),
    "metrics": ("metrics",),
    "the webhook inbox": ("table billing_stripeevent",),
    "the audit trail": ("table audit_auditentry", "table audit_streamhead"),
    "incidents and alerts": ("table billing_incident", "alert"),
    "files, temporary ones too": ("file", "file name"),
    "identities at rest": (
        "table patients_patientidentity",
        "table patients_patienttoken",
        "table patients_revealgrant",
    ),
}
# Nothing may come here at all.
SILENT = {"mail", "table django_admin_log"}


@dataclass
class Sinks:
    """What was caught. `kept` holds pieces by the name of their sink, `revealed` the one page that shows a person."""

    folder: Path
    log: io.StringIO = field(default_factory=io.StringIO)
    terminal: io.StringIO = field(default_factory=io.StringIO)
    kept: list[tuple[str, str | bytes]] = field(default_factory=list)
    revealed: str = ""
    written: set[str] = field(default_factory=set)

    def keep(self, sink: str, content: str | bytes) -> None:
        """Keep a piece of what went out."""
        self.kept.append((sink, content))

    def keep_answer(self, answer: HttpResponse) -> HttpResponse:
        """Keep a page or an answer of the API, and what a browser remembers of it."""
        self.keep_frame(answer)
        if not answer.streaming:
            self.keep("answer", answer.content)
        return answer

    def keep_frame(self, answer: HttpResponse) -> None:
        """Keep all but the body: status, headers, cookies, title, where it leads."""
        self.keep("answer", f"{answer.status_code} {answer.headers} {answer.cookies}")
        for address, _status in [(answer.headers.get("Location", ""), 0), *getattr(answer, "redirect_chain", [])]:
            self.keep("address", address)
        if not answer.streaming:
            self.keep("title", answer.content.partition(b"<title>")[2].partition(b"</title>")[0])

    def contents(self, stripe: StripeStandIn) -> Iterator[tuple[str, str | bytes]]:
        """Yield every sink with a piece of its content."""
        yield from (("log", line) for line in self.log.getvalue().splitlines())
        yield from (("terminal", line) for line in self.terminal.getvalue().splitlines())
        yield from self.kept
        yield from (("mail", message.message().as_string()) for message in mail.outbox)
        yield from (("cache", entry) for entry in cached())
        yield from (("stripe", request.raw()) for request in stripe.requests)
        yield from (("file", path.read_bytes()) for path in self.folder.rglob("*") if path.is_file())
        yield from (("file name", path.name) for path in self.folder.rglob("*"))
        yield from rows()
        # The column is compressed where that makes it shorter.
        yield from (("table django_session", repr(session.get_decoded())) for session in Session.objects.all())


def cached() -> Iterator[str]:
    """Yield every entry of the cache: the rate limit and the pause of the alerts live there."""
    if "Redis" not in settings.CACHES["default"]["BACKEND"]:
        yield from map(repr, cache._cache.items())
        return
    connection = Redis.from_url(settings.CACHES["default"]["LOCATION"])
    for key in connection.scan_iter():
        # What is no text is told as Redis would save it, which may be compressed: only counters are kept that way.
        yield f"{key!r} {connection.get(key) if connection.type(key) == b'string' else connection.dump(key)!r}"


def rows() -> Iterator[tuple[str, str]]:
    """Yield every row of every table, the sealed identities and Django's own tables too, as the database holds it."""
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in iter(lambda: cursor.fetchmany(500), []):
                yield f"table {table}", "\n".join(" | ".join(map(_as_text, each)) for each in row)


def _as_text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


@contextlib.contextmanager
def caught(folder: Path) -> Iterator[Sinks]:
    """Catch what every logger says at DEBUG, what commands print, and which files are opened for writing."""
    sinks = Sinks(folder)
    handler = logging.StreamHandler(sinks.log)
    handler.setFormatter(line_formatter())
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sinks.terminal))
        stack.enter_context(contextlib.redirect_stderr(sinks.terminal))
        stack.enter_context(_every_logger(handler))
        stack.enter_context(_temporary_files_in(folder))
        stack.enter_context(_writes(sinks.written))
        connection.force_debug_cursor = True  # SQL with its parameters goes to django.db.backends
        stack.callback(setattr, connection, "force_debug_cursor", False)
        yield sinks


@contextlib.contextmanager
def _every_logger(handler: logging.Handler) -> Iterator[None]:
    names = [name for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)]
    loggers = [logging.root, *map(logging.getLogger, names)]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
    before, logging.root.handlers = logging.root.handlers, [handler]  # pytest's own would format all of it again
    try:
        yield
    finally:
        logging.root.handlers = before
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


_watching: list[set[str]] = []


def _watch(event: str, arguments: tuple) -> None:
    # A file descriptor has been opened by its path before.
    if _watching and event == "open" and not isinstance(arguments[0], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        _watching[-1].add(os.fsdecode(arguments[0]))


sys.addaudithook(_watch)  # stays for the process, and does nothing while nobody watches


@contextlib.contextmanager
def _writes(written: set[str]) -> Iterator[None]:
    _watching.append(written)
    try:
        yield
    finally:
        _watching.pop()


def unexpected(written: set[str], folder: Path) -> set[str]:
    """Return the files that were opened for writing outside the folder, bytecode and the database aside."""
    database = str(settings.DATABASES["default"]["NAME"])
    allowed = (str(folder), database, str(connection.settings_dict["NAME"]), "/dev/")
    return {path for path in written if not path.startswith(allowed) and "__pycache__" not in path}
