"""Settings under which the benchmarks serve: the tests' own, with the bare views beside the product's addresses."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES

DATABASES["default"]["CONN_MAX_AGE"] = 60  # as the product's
ROOT_URLCONF = "bench.bare"
