"""A scene in which nothing differs yet."""

import pytest

from tests.billing.reconciliation.scene import Scene


@pytest.fixture
def scene(db, stripe) -> Scene:
    return Scene(stripe)
