"""The stand-in's own HTTP controls under `/_standin/`, so that another process can act as customer, bank or staff.

`POST /_standin/<control>` with a JSON object of arguments; `GET /_standin/` lists the controls.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from sandbox.stripe_standin.api import Reply
from sandbox.stripe_standin.errors import StripeFailure
from sandbox.stripe_standin.recorder import RawRequest

PREFIX = "/_standin/"


def answer_control(controls: Mapping[str, Callable[..., Any]], request: RawRequest) -> Reply:
    """Call a control and return its result as JSON: 400 for wrong arguments, 404 for an unknown name."""
    name = request.path.removeprefix(PREFIX)
    if not name:
        signatures = {name: str(inspect.signature(control)) for name, control in controls.items()}
        return _json(200, {"controls": signatures})
    if name not in controls:
        return _json(404, {"error": {"message": f"No control named {name!r}."}})
    try:
        arguments = json.loads(request.body or b"{}")
        inspect.signature(controls[name]).bind(**arguments)
        return _json(200, {"result": _plain(controls[name](**arguments))})
    except StripeFailure as failure:
        return _json(failure.status, failure.body)
    except (TypeError, ValueError, KeyError) as error:
        return _json(400, {"error": {"message": str(error)}})


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(row) for row in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _json(status: int, document: Any) -> Reply:
    return Reply(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
