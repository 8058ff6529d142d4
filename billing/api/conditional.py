"""ETag and `If-None-Match` for reads: whoever polls gets 304 and no body while nothing has changed.

The tag is a digest of the body, so it can never be wrong, and it saves the line rather than the database: an open
invoice has no version that would grow with its lines.
"""

import hashlib
from typing import Any

from django.http import HttpResponseNotModified
from django.utils.http import parse_etags, quote_etag
from rest_framework.request import Request
from rest_framework.response import Response

_HEADERS_OF_A_304 = ("Cache-Control", "ETag", "RateLimit", "RateLimit-Policy", "Vary")


def make_conditional(request: Request, response: Response) -> None:
    """Give a successful read its tag when it is rendered, and answer 304 when the caller has it already."""
    if request.method in {"GET", "HEAD"} and response.status_code == 200:
        response.add_post_render_callback(lambda rendered: _tagged(request, rendered))


def _tagged(request: Request, response: Any) -> Any:
    tag = quote_etag(hashlib.sha256(response.content).hexdigest()[:32])
    response["ETag"] = tag
    # Of the conditions only this one: `If-Match` is for writes, and Django's answer to it would be an empty 412 page.
    has = parse_etags(request.headers.get("If-None-Match", ""))
    if has != ["*"] and tag not in {each.removeprefix("W/") for each in has}:
        return response
    answer = HttpResponseNotModified()
    for name in _HEADERS_OF_A_304:
        if name in response:
            answer[name] = response[name]
    return answer
