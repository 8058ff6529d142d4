"""Versions of the API. `/api/` is version 1 and stays so; a later one is asked for by the Accept header.

`Accept: application/json; version=1` pins it. What is to go is announced by the headers `Deprecation` (RFC 9745) and
`Sunset` (RFC 8594) on every answer of the address, for at least half a year.
"""

from dataclasses import dataclass
from datetime import datetime

from django.http.request import MediaType
from django.utils.http import http_date
from rest_framework.exceptions import NotAcceptable
from rest_framework.request import Request

PRESENT = "1"


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Since when an address is not to be used any more, from when on it may be gone, and where that is explained."""

    since: datetime
    gone_from: datetime
    link: str

    def headers(self) -> dict[str, str]:
        """Return what every answer of the address says."""
        return {
            "Deprecation": f"@{int(self.since.timestamp())}",
            "Sunset": http_date(self.gone_from.timestamp()),
            "Link": f'<{self.link}>; rel="deprecation"',
        }


def require_known_version(request: Request) -> None:
    """Raise NotAcceptable when another version than ours is asked for."""
    asked = MediaType(request.accepted_media_type or "").params.get("version", PRESENT)
    if asked != PRESENT:
        raise NotAcceptable("There is only version 1.")
