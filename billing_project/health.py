"""Is the process up, and can it serve? For load balancers: no secrets, no details, no log-in."""

import structlog
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

_log = structlog.get_logger(__name__)
_seen: set[str] = (
    set()
)  # migrations that one answer found applied need no second look: code does not change in a process
_MIGRATED = "migrated"


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Answer 200 while the process runs; looks at nothing else, so that a slow database restarts nobody."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Answer 200 when the database answers and every migration is applied, otherwise 503; the log says why."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        ready = _is_migrated()
    except DatabaseError as error:
        _log.warning("database_does_not_answer", error=type(error))
        ready = False
    return JsonResponse({"status": "ok" if ready else "unavailable"}, status=200 if ready else 503)


def _is_migrated() -> bool:
    if _MIGRATED in _seen:
        return True
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        _log.warning("migrations_not_applied")
        return False
    _seen.add(_MIGRATED)
    return True
