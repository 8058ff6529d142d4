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
from django.db import connection

from billing_project.logging import line_formatter
from sandbox.stripe_standin import StripeStandIn


@dataclass
class Sinks:
    """What was caught. `answers` holds status lines, headers and bodies of pages and API; `files` what was written."""

    folder: Path
    log: io.StringIO = field(default_factory=io.StringIO)
    terminal: io.StringIO = field(default_factory=io.StringIO)
    answers: list[bytes] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    written: set[str] = field(default_factory=set)

    def contents(self, stripe: StripeStandIn) -> Iterator[tuple[str, str | bytes]]:
        """Yield every sink with a piece of its content."""
        yield from (("log", line) for line in self.log.getvalue().splitlines())
        yield from (("terminal", line) for line in self.terminal.getvalue().splitlines())
        yield from (("answer", answer) for answer in self.answers)
        yield from (("alert", alert) for alert in self.alerts)
        yield from (("stripe", request.raw()) for request in stripe.requests)
        yield from (("file", path.read_bytes()) for path in self.folder.rglob("*") if path.is_file())
        yield from (("file name", path.name) for path in self.folder.rglob("*"))
        yield from rows()


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
