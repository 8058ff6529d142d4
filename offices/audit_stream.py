"""The audit stream of an office: one name, used by every use case."""


def office_stream(reference: str) -> str:
    """Return the stream that tells the story of the office with this reference."""
    return f"office:{reference}"
