"""The demo as a person starts it, served to a browser; and what happens at Stripe while somebody is at work."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.demo_environment import FIXED

PROJECT = Path(__file__).parents[2]
PATIENCE = 60  # seconds for what happens beside the browser
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "VIRTUAL_ENV")
_LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Person:
    """A log-in of the demo's own."""

    username: str
    password: str


@dataclass(frozen=True)
class Stage:
    """A served demo: its address, its people, its database file and its Stripe."""

    console: str
    stripe: str
    first: Person
    second: Person
    database: Path

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the books, past the console."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)) as books:
            return books.execute(sql, values).fetchall()

    def eventually(self, look: Callable[[], Any], wanted: object) -> None:
        """Look again until it is so; fail with what was seen last."""
        deadline = time.monotonic() + PATIENCE
        while (seen := look()) != wanted and time.monotonic() < deadline:
            time.sleep(0.2)
        assert seen == wanted

    def at_stripe(self, control: str, **arguments: Any) -> Any:
        """Let somebody at Stripe do something: a customer, a bank, staff in the Dashboard."""
        request = urllib.request.Request(f"{self.stripe}/_standin/{control}", data=json.dumps(arguments).encode())
        with _LOCAL.open(request) as answer:
            return json.load(answer)["result"]

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run a command as an operator does and return what it says to machines."""
        secrets = (PROJECT / "var" / "demo.env").read_text(encoding="ascii").splitlines()
        kept = dict(line.split("=", 1) for line in secrets) | FIXED | {"STRIPE_API_BASE": self.stripe}
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments, "--json"],
            cwd=PROJECT, env=_environment(self.database) | kept, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return dict(json.loads(done.stdout))

    def code_of(self, person: Person) -> str:
        """Return what the person's telephone shows."""
        return str(self.command("demo_code", "--user", person.username)["code"])


@contextmanager
def open_stage(folder: Path) -> Iterator[Stage]:
    """Tell the story of the demo into `folder`, serve it, and stop it at the end."""
    database = folder / "story.sqlite3"
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--serve", "--port", "8730"],
        cwd=PROJECT, env=_environment(database), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    printed = []
    for line in process.stdout or ():
        printed.append(line)
        if line.startswith("Ctrl-C"):
            break
    try:
        assert process.poll() is None, "".join(printed)
        yield _stage("".join(printed), database)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def _environment(database: Path) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | {"DATABASE_URL": f"sqlite:///{database}", "PYTHONUNBUFFERED": "1"}


def _stage(printed: str, database: Path) -> Stage:
    def value(name: str) -> str:
        (found,) = re.findall(rf"^\s*{re.escape(name)}:\s+(\S+)", printed, flags=re.MULTILINE)
        return str(found)

    (second,) = re.findall(r"and another:\s+(\S+), (\S+),", printed)
    first = Person(value("user name"), value("password"))
    return Stage(value("Console"), value("Local Stripe"), first, Person(*second), database)
