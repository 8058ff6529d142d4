"""Run a program of the product in a time of its own: `python -m tests.faults.shifted celery -A billing_project beat`.

`FAULTS_CLOCK` names a file with the seconds by which time is shifted; it may change while the program runs.
`FAULTS_PLAN` is a plan of tests/faults/fuse.py as JSON, and lets the program die at a named place, once.
"""

import json
import os
import runpy
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from django.utils import timezone

_real_now = timezone.now


def seconds(path: str | None = None) -> float:
    """Return by how much time is shifted now."""
    return float(Path(path or os.environ["FAULTS_CLOCK"]).read_text())


def now() -> datetime:
    return _real_now() + timedelta(seconds=seconds())


def shifted_time() -> float:
    return time.time() + seconds()


def main() -> None:
    timezone.now = now
    plan = os.environ.get("FAULTS_PLAN")
    if plan:
        import django

        django.setup()

        from tests.faults.fuse import Fuse

        Fuse(json.loads(plan), lambda _point: None, "").install_points()
    program = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
