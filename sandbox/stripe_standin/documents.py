"""The type of a Stripe object as it travels: a JSON document, shaped after real replies, checked by the real SDK."""

from typing import Any, TypeAlias

# Stripe objects have hundreds of optional fields; the SDK that parses them in the tests is the judge of their shape.
Json: TypeAlias = dict[str, Any]
