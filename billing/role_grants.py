"""Put roles and what they may do into the database: called by migrations, each with a frozen table of its own.

Django makes permissions after all migrations, in a signal; a migration that gave them to groups would find none in a
fresh database or a test. So the rows are made here, with the names Django would give them, and Django finds them made.
"""

from collections.abc import Iterable, Mapping
from typing import Any

# app, model, codename, the permission's name, and a letter for each role
Row = tuple[str, str, str, str, str]


def grant(apps: Any, rows: Iterable[Row], *, roles: Mapping[str, str]) -> None:
    """Give each role its permissions; only add. `roles` names the group of each letter; all of them are made."""
    kinds = apps.get_model("contenttypes", "ContentType").objects
    permissions = apps.get_model("auth", "Permission").objects
    groups = {
        letter: apps.get_model("auth", "Group").objects.get_or_create(name=name)[0] for letter, name in roles.items()
    }
    for app, model, codename, name, letters in rows:
        kind, _ = kinds.get_or_create(app_label=app, model=model)
        permission, _ = permissions.get_or_create(content_type=kind, codename=codename, defaults={"name": name})
        for letter in letters:
            groups[letter].permissions.add(permission)
