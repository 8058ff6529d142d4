"""Windows of Stripe's list of events that were asked for, to fill the gaps that lost webhooks leave."""

from django.db import models
from django.db.models import F, Q


class EventReplay(models.Model):
    """One look through the events made at Stripe in [window_from, window_until); unfinished, it is done again.

    Counted are the events that we listen to; `events_new` had not arrived by webhook. A dry run only counts them.
    """

    window_from = models.DateTimeField()
    window_until = models.DateTimeField()
    actor = models.CharField(max_length=100)
    dry_run = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    events_seen = models.PositiveIntegerField(default=0)
    events_new = models.PositiveIntegerField(default=0)
    # Where each page of the list ended, " evt_1 evt_2 ": what the next request named.
    page_ends = models.TextField(blank=True, default="")
    # Objects of the list that are no events as we know them, such as those of another format.
    events_unreadable = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(window_from__lt=F("window_until")), name="event_replay_window_not_empty")
        ]
        indexes = [models.Index(fields=["-window_until"], name="event_replay_by_window")]

    def __str__(self) -> str:
        return f"events until {self.window_until:%Y-%m-%d %H:%M}"
