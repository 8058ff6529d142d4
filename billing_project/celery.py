"""The Celery application: a doorbell and a sweep, never the queue.

Without CELERY_BROKER_URL tasks run in the calling process. JSON only, no results, one message at a time; a task
that dies with its worker is not redelivered, because the sweep finds what waits (reliability.md, "Celery").
"""

import os

from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")

BOOKS, DELIVERY = "books", "delivery"

app = Celery("billing_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=False,
    worker_prefetch_multiplier=1,
    timezone="UTC",
    # Two queues, so that an hour of comparing books never stands in the way of what Stripe waits for. A worker that is
    # started without --queues serves both.
    task_default_queue=BOOKS,
    task_queues={name: {"routing_key": name} for name in (BOOKS, DELIVERY)},
    task_routes={
        f"billing.tasks.{name}": {"queue": DELIVERY}
        for name in ("deliver_outbox", "process_stripe_events", "notice_silence", "send_alerts", "checkpoint_audit")
    },
    task_time_limit=3540,
    # Longer than the longest task, so that Redis does not hand it out a second time.
    broker_transport_options={"visibility_timeout": 3600},
    broker_connection_retry_on_startup=True,
)
app.autodiscover_tasks()


@setup_logging.connect
def keep_our_logging(**_kwargs: object) -> None:
    """Keep the logging of the settings: Celery's own would print arguments, exceptions and tracebacks of tasks."""


app.conf.beat_schedule = {
    # Cycles end at local midnights all around the world, and due dates go by: an hourly look, idempotent.
    "close-and-open-cycles": {
        "task": "billing.tasks.run_billing",
        "schedule": crontab(minute=5),
        "options": {"expires": 3000},
    },
    # A worker or the database may die in the middle of a run: it goes on within a minute, not at the next full hour.
    "resume-cycles": {"task": "billing.tasks.resume_billing", "schedule": 15.0, "options": {"expires": 15}},
    # An approval looks at the time itself: the hourly look only clears away what nobody may approve any more.
    "expire-corrections": {
        "task": "billing.tasks.expire_corrections",
        "schedule": crontab(minute=20),
        "options": {"expires": 3000},
    },
    # The guarantee behind the doorbell: what waits is found even when every ring was lost. What a dead worker had in
    # hand is free after its lease of 30 s, and its news come after it: so often, all of it is done within a minute.
    "sweep-outbox": {"task": "billing.tasks.deliver_outbox", "schedule": 5.0, "options": {"expires": 5}},
    # An incident waits a minute at most; an answer that takes longer than that must not pile up sweeps.
    "sweep-alerts": {"task": "billing.tasks.send_alerts", "schedule": 60.0, "options": {"expires": 60}},
    # What an intruder could rewrite unseen is at most what was written since the last checkpoint: a minute of it.
    "checkpoint-audit": {"task": "billing.tasks.checkpoint_audit", "schedule": 60.0, "options": {"expires": 60}},
    # Away from the full hour and from the run: the canary shows that the guard works, not that it can wait.
    "try-canary": {
        "task": "billing.tasks.run_canary",
        "schedule": crontab(minute=35),
        "options": {"expires": 1800},
    },
    # At night, when clinics are closed; it reads all books once.
    "rebuild-books": {
        "task": "billing.tasks.rebuild_books",
        "schedule": crontab(hour=7, minute=50),
        "options": {"expires": 3600},
    },
    # An hour after a lost webhook nobody has been dunned yet; each window overlaps the last one, and after an outage of
    # ours it is as long as the outage. At 20 past, away from the run and the canary.
    "replay-stripe-events": {
        "task": "billing.tasks.replay_stripe_events",
        "schedule": crontab(minute=20),
        "options": {"expires": 3000},
    },
    # A write waits a quarter of an hour for its news (billing/expected_news.py); this adds five minutes at most.
    "notice-silence": {"task": "billing.tasks.notice_silence", "schedule": 300.0, "options": {"expires": 300}},
    # Kept for 72 hours; an hour more does no harm.
    "purge-api-answers": {
        "task": "billing.tasks.purge_api_answers",
        "schedule": crontab(minute=50),
        "options": {"expires": 3000},
    },
    # Every night, when webhooks of the day have come or are lost; away from the hourly run, which locks offices too.
    "reconcile-recent": {
        "task": "billing.tasks.reconcile_recent",
        "schedule": crontab(hour=3, minute=45),
        "options": {"expires": 10_800},
    },
    # What staff asked for begins at once, by the doorbell; this goes on with what a worker left.
    "sweep-comparisons": {"task": "billing.tasks.compare_asked", "schedule": 60.0, "options": {"expires": 60}},
    # Everything there is, once a week: a page of a hundred invoices for each call, all of them every night is too much.
    "reconcile-all": {
        "task": "billing.tasks.reconcile_all",
        "schedule": crontab(day_of_week="sunday", hour=4, minute=45),
        "options": {"expires": 10_800},
    },
    "sweep-stripe-events": {
        "task": "billing.tasks.process_stripe_events",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
}
