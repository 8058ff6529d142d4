"""The audit trail: entries in hash chains, one per stream, the head of each chain, and checkpoints over all heads.

Knows nobody: a stream is text such as `office:<reference>`; a payload holds no direct identifiers (privacy.md).
"""

from django.db import models

GENESIS = "0" * 64  # what the first entry of a stream names as its previous digest


class AuditEntry(models.Model):
    """One fact: who did what, when. Append-only: triggers refuse UPDATE, DELETE and TRUNCATE."""

    stream = models.CharField(max_length=100)
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=100)
    action = models.CharField(max_length=60)
    # Canonical JSON text, hashed exactly as stored.
    payload = models.TextField()
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    mac_key = models.CharField(max_length=16)
    mac = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "audit entries"
        constraints = [
            models.UniqueConstraint(fields=["stream", "seq"], name="audit_entry_one_per_position"),
            models.UniqueConstraint(fields=["stream", "previous"], name="audit_entry_chain_never_forks"),
            models.CheckConstraint(condition=models.Q(seq__gte=1), name="audit_entry_positions_start_at_one"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} #{self.seq} {self.action}"


class StreamHead(models.Model):
    """The last position and digest of a stream, sealed by its own MAC so that a cut tail shows (decisions.md 35)."""

    stream = models.CharField(max_length=100, primary_key=True)
    seq = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, default=GENESIS)
    mac_key = models.CharField(max_length=16, default="")
    mac = models.CharField(max_length=64, default="")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(seq__gte=0), name="stream_head_position_not_negative")]

    def __str__(self) -> str:
        return f"{self.stream} at {self.seq}"


class Checkpoint(models.Model):
    """A signed Merkle root over the heads of all streams at one instant, chained to the checkpoint before it.

    Append-only like the entries. `entries` is the sum of the positions of all heads.
    """

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    streams = models.BigIntegerField()
    entries = models.BigIntegerField()
    root = models.CharField(max_length=64)
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    public_key = models.CharField(max_length=64)
    signature = models.CharField(max_length=128)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["previous"], name="audit_checkpoint_chain_never_forks"),
            models.CheckConstraint(condition=models.Q(seq__gte=1), name="audit_checkpoint_positions_start_at_one"),
        ]

    def __str__(self) -> str:
        return f"checkpoint {self.seq}"


class SealedHead(models.Model):
    """A stream head as a checkpoint first sealed it: only what has changed since the checkpoint before.

    `place` is the stream's leaf in the tree, given when its first head is sealed and kept ever after.
    """

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="heads", db_index=False)
    place = models.BigIntegerField()
    stream = models.CharField(max_length=100)
    seq = models.BigIntegerField()
    digest = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["checkpoint", "place"], name="sealed_head_once_per_checkpoint"),
            models.UniqueConstraint(fields=["stream", "seq"], name="sealed_head_once_per_position"),
            models.CheckConstraint(condition=models.Q(place__gte=0), name="sealed_head_place_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} at {self.seq} in checkpoint {self.checkpoint_id}"
