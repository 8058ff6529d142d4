"""`Idempotency-Key`: a POST sent again under the same key is answered as the first time, and not carried out again."""

import json
import re
from collections.abc import Callable
from datetime import datetime

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.credentials import Credential
from billing.idempotent_answers import Answer, Call, answer_once

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
KEY_PATTERN = r"^[A-Za-z0-9_.:-]{1,100}$"
_KEY = re.compile(KEY_PATTERN, re.ASCII)


def answered_once(request: Request, *, credential: Credential, now: datetime, work: Callable[[], Response]) -> Response:
    """Return the answer to this request; without a key it is simply carried out.

    Raises ValidationError for a key that is none, and what `answer_once` raises.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return work()
    if not _KEY.fullmatch(key):
        detail = ErrorDetail("A key has 1 to 100 letters, digits, or characters of _ . : -", code="invalid")
        raise ValidationError({HEADER: [detail]})
    answer = answer_once(call=_call(request, credential, key), now=now, work=lambda: _answer(work()))
    response = Response(json.loads(answer.body), status=answer.status_code)
    if answer.replayed:
        response[REPLAYED] = "true"
    return response


def _call(request: Request, credential: Credential, key: str) -> Call:
    """Describe the request: method, path and body as they were sent."""
    words = f"{request.method}\0{request.path}\0".encode()
    return Call(credential.actor, key, words + request._request.body)


def _answer(response: Response) -> Answer:
    return Answer(response.status_code, JSONRenderer().render(response.data).decode())
