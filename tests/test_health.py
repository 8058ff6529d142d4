"""What a load balancer asks: is the process up, and can it serve?"""

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from billing_project import health


@pytest.fixture(autouse=True)
def fresh_process():
    health._seen.clear()
    yield
    health._seen.clear()


def _get(path):
    response = Client().get(path)
    return response.status_code, response.json()


def test_a_running_process_is_healthy_without_a_database():
    assert _get("/healthz") == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_migrated_database_is_ready():
    assert _get("/readyz") == (200, {"status": "ok"})


@pytest.mark.django_db
def test_a_database_that_lacks_a_migration_is_not_ready_until_it_has_it():
    migration = MigrationRecorder.Migration.objects.filter(app="billing").latest("pk")
    migration.delete()
    assert _get("/readyz") == (503, {"status": "unavailable"})
    MigrationRecorder(connection).record_applied("billing", migration.name)
    assert _get("/readyz") == (200, {"status": "ok"})


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_is_not_ready_and_nothing_is_told(settings):
    connection.close()
    original = connection.settings_dict
    connection.settings_dict = original | {"NAME": "/nowhere/at/all", "HOST": "127.0.0.1", "PORT": "9"}
    try:
        assert _get("/readyz") == (503, {"status": "unavailable"})
    finally:
        connection.close()
        connection.settings_dict = original


def test_a_check_is_never_cached_and_only_read():
    assert "no-store" in Client().get("/healthz")["Cache-Control"]
    assert Client().post("/healthz").status_code == 405
