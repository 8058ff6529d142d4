#!/usr/bin/env python
"""Run a management command; `python manage.py help` lists them."""

import os
import sys

from django.core.management import execute_from_command_line

from sandbox import demo_environment

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
    if sys.argv[1:2] in (["demo"], ["demo_code"]):
        demo_environment.prepare()
    execute_from_command_line(sys.argv)
