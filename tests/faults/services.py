"""The machinery below the product, thrown away afterwards: a PostgreSQL cluster and a Redis of our own.

The cluster keeps fsync on: what an immediate restart leaves must be what PostgreSQL promises.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

OWNER = "postgres"  # PostgreSQL does not run as root
CONNECTIONS = 120
PATIENCE = 30.0  # seconds until a service must answer


class ServiceMissing(Exception):
    """PostgreSQL or Redis is not installed here."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Look again until the condition holds; return whether it came to hold in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


class Cluster:
    """A PostgreSQL cluster in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._programs = _programs()
        self._data = folder / "data"
        if os.geteuid() == 0:
            shutil.chown(folder, OWNER)
        self._run("initdb", "-D", self._data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        self._start()

    def url(self, database: str) -> str:
        return f"postgres://{OWNER}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple]:
        with psycopg.connect(self.url(database).replace("postgres://", "postgresql://"), autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def copy(self, template: str, name: str) -> None:
        """Make a database as the template is, sequences included.

        PostgreSQL logs 32 numbers of a sequence ahead, and the copy believes that its log has them too: after a crash
        it would give the same numbers again. It does not once a checkpoint lies between.
        """
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        self.sql("CHECKPOINT")

    def drop(self, name: str) -> None:
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def restart_immediately(self) -> float:
        """Let every server process die where it stands, start again from the log; return the seconds it took."""
        started = time.monotonic()
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        self._start()
        return time.monotonic() - started

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def _start(self) -> None:
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
            f" -c max_connections={CONNECTIONS}"
        )
        self._run("pg_ctl", "-D", self._data, "-l", self.folder / "log", "-w", "-o", options, "start")

    def _run(self, program: str, *arguments: object) -> None:
        user = OWNER if os.geteuid() == 0 else None
        subprocess.run(
            [self._programs / program, *map(str, arguments)],
            cwd=self.folder, user=user, group=user, extra_groups=[] if user else None, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise ServiceMissing("initdb is not installed")
    return (found[-1] if found else Path(on_path)).parent


class Redis:
    """A Redis that keeps nothing on disk: what is lost with it is lost."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            raise ServiceMissing("redis-server is not installed")
        self._folder, self.port = folder, free_port()
        self._process: subprocess.Popen | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
             "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if not wait_until(self._answers):
            raise ServiceMissing("redis-server does not answer")

    def flush(self) -> None:
        self._say(b"FLUSHALL\r\n")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        if self._process.poll() is None:
            self.kill()

    def _answers(self) -> bool:
        try:
            return self._say(b"PING\r\n").startswith(b"+PONG")
        except OSError:
            return False

    def _say(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(command)
            return connection.recv(64)


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)  # PostgreSQL's own user must come through
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cluster() -> Iterator[Cluster]:
    with throw_away_folder() as folder:
        (folder / "postgresql").mkdir()
        running = Cluster(folder / "postgresql")
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def redis() -> Iterator[Redis]:
    with throw_away_folder() as folder:
        running = Redis(folder)
        try:
            yield running
        finally:
            running.stop()
