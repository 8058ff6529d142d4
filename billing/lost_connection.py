"""Tell a database that is away from a fault of ours: nobody is parked for it, the next worker does what waits.

The error is judged, not the connection: after an error at COMMIT Django has opened a new one by the time anybody looks.
"""

from collections.abc import Iterator

from django.db import Error, InterfaceError, OperationalError, connection

_BROKEN_OFF = "08"  # SQLSTATE class: connection exceptions
_SHUTTING_DOWN = frozenset({"57P01", "57P02", "57P03"})  # by a person, after a crash, not yet up


def is_lost_connection(error: BaseException) -> bool:
    """Say whether the error means that the connection to the database went away, or came of such an error."""
    return any(_says_so(each) for each in _with_what_led_to_it(error))


def _says_so(error: BaseException) -> bool:
    if not isinstance(error, Error):
        return False
    if isinstance(error, InterfaceError) or not connection.is_usable():
        return True
    # The driver gives no SQLSTATE where the server could not say anything any more. SQLite's errors have none at all.
    state = getattr(error.__cause__, "sqlstate", "")
    gone = state is None or state.startswith(_BROKEN_OFF) or state in _SHUTTING_DOWN
    return isinstance(error, OperationalError) and gone


def _with_what_led_to_it(error: BaseException) -> Iterator[BaseException]:
    led: BaseException | None = error
    while led is not None:
        yield led
        led = led.__cause__ or led.__context__
