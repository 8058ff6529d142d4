"""Settings under which the benchmarks serve: the tests' own, with the bare views beside the product's addresses."""

from tests.settings import *  # noqa: F403

ROOT_URLCONF = "bench.bare"
