import threading

import pytest

from billing.stripe_gateway.rate_limit import RateLimitSaturated, SharedRateLimiter


class DictCache:
    """A real shared store with the atomic `add` of a cache; it also checks that keys expire after their slot."""

    def __init__(self) -> None:
        self.entries: dict[str, int] = {}
        self.lock = threading.Lock()
        self.calls = 0

    def add(self, key: str, value: int, timeout: int) -> bool:
        with self.lock:
            self.calls += 1
            if key in self.entries:
                return False
            self.entries[key] = timeout
            return True


class FakeTime:
    """A clock that moves only when every sleeper's time comes: sleeping advances it to the wake-up moment."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.lock = threading.Lock()

    def clock(self) -> float:
        with self.lock:
            return self.now

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.now += seconds


def _limiter(cache: DictCache, time: FakeTime, rate: int = 20, **more: int) -> SharedRateLimiter:
    return SharedRateLimiter(cache, rate, clock=time.clock, sleep=time.sleep, **more)


def _largest_window(starts: list[float]) -> int:
    ordered = sorted(starts)
    return max(sum(1 for other in ordered if start <= other < start + 1 - 1e-6) for start in ordered)


def test_one_process_never_exceeds_the_rate_in_any_window_of_a_second():
    time = FakeTime(1_800_000_000.013)
    limiter = _limiter(DictCache(), time)
    starts = []
    for index in range(200):
        limiter.acquire()
        starts.append(time.clock())
        time.sleep([0, 0.001, 0.049, 0.7][index % 4] if index % 17 == 0 else 0)
    assert _largest_window(starts) <= 20


def test_many_threads_of_many_processes_share_one_rate():
    cache, starts, lock = DictCache(), [], threading.Lock()

    def worker() -> None:
        # A frozen clock for each process: every one of them sees the same instant and must still get its own slot.
        slept: list[float] = []
        moment = [1_800_000_000.0]

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            moment[0] += seconds

        limiter = SharedRateLimiter(cache, 20, clock=lambda: moment[0], sleep=sleep)
        for _ in range(10):
            limiter.acquire()
            with lock:
                starts.append(moment[0])

    threads = [threading.Thread(target=worker) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(starts) == len({round(start, 6) for start in starts}) == 320
    assert _largest_window(starts) <= 20
    assert max(starts) - min(starts) == pytest.approx(319 / 20)  # and no slot is wasted either


def test_threads_of_one_process_share_one_limiter():
    cache, time, starts, lock = DictCache(), FakeTime(), [], threading.Lock()
    limiter = _limiter(cache, time, rate=100)

    def worker() -> None:
        for _ in range(20):
            limiter.acquire()
            with lock:
                starts.append(time.clock())

    threads = [threading.Thread(target=worker) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.entries) == 320


def test_a_slot_that_has_begun_is_not_used():
    time = FakeTime(1_800_000_000.01)
    limiter = _limiter(DictCache(), time)
    limiter.acquire()
    assert time.clock() == pytest.approx(1_800_000_000.05)


def test_a_sleep_that_returns_early_is_slept_again():
    time = FakeTime(1_800_000_000.01)
    limiter = SharedRateLimiter(DictCache(), 20, clock=time.clock, sleep=lambda s: time.sleep(s / 2 + 1e-6))
    limiter.acquire()
    assert time.clock() >= 1_800_000_000.05


def test_reservations_outlive_their_slots():
    cache, time = DictCache(), FakeTime()
    limiter = _limiter(cache, time, rate=1)
    for _ in range(5):
        limiter.acquire()
    assert all(timeout >= 10 for timeout in cache.entries.values())


def test_a_full_schedule_is_said_and_nothing_is_reserved():
    cache, time = DictCache(), FakeTime()
    for slot in range(100):
        cache.entries[f"stripe-slot:20:{1_800_000_000 * 20 + slot}"] = 1
    before = dict(cache.entries)
    with pytest.raises(RateLimitSaturated) as caught:
        _limiter(cache, time, longest_wait_seconds=2).acquire()
    assert caught.value.retry_after == 2
    assert cache.entries == before


def test_own_reservations_are_not_probed_again():
    cache = DictCache()
    limiter = SharedRateLimiter(cache, 20, clock=lambda: 1_800_000_000.0, sleep=lambda _: None)
    moments = iter(range(100))
    limiter._clock = lambda: 1_800_000_000.0 + (next(moments) % 2) * 100  # asks at 0, wakes at 100
    for _ in range(20):
        limiter.acquire()
    assert cache.calls == 20


def test_a_cache_that_fails_stops_the_request():
    class Broken:
        def add(self, key, value, timeout):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        SharedRateLimiter(Broken(), 20).acquire()


def test_a_rate_below_one_is_refused():
    with pytest.raises(ValueError, match="rate"):
        SharedRateLimiter(DictCache(), 0)
