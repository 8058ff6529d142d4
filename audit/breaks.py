"""What verification finds."""

from dataclasses import dataclass

CHECKPOINTS = "checkpoints"  # named as the stream when a checkpoint or an anchor does not verify


@dataclass(frozen=True, slots=True)
class Break:
    """A place that does not verify: `code` says how, `seq` where (0: the stream as a whole)."""

    stream: str
    seq: int
    code: str
