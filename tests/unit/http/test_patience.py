from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayimage.errors import RegistryError
from rayimage.http.failures import ConnectionFailed
from rayimage.http.patience import Patience, RetryPolicy, insist
from rayimage.http.response import Answer, Headers


class TestPatience:
    def test_ends(self) -> None:
        naps: list[float] = []
        patience = Patience(RetryPolicy(attempts=3, sleep=naps.append, random=lambda: 1.0))
        error = RegistryError("no")
        patience.wait(error)
        patience.wait(error)
        with pytest.raises(RegistryError):
            patience.wait(error)
        assert naps == [0.4, 0.8]

    def test_progress_begins_anew_but_only_once_for_the_same_bytes(self) -> None:
        patience = Patience(RetryPolicy(attempts=2, sleep=lambda _: None))
        error = RegistryError("no")
        patience.wait(error)
        patience.wait(error, reached=2_000_000)
        with pytest.raises(RegistryError):
            patience.wait(error, reached=2_000_000)

    def test_there_is_none_for_what_cannot_change(self) -> None:
        patience = Patience(RetryPolicy(sleep=lambda _: None))
        with pytest.raises(ConnectionFailed):
            patience.wait(ConnectionFailed("no", temporary=False))

    @given(st.integers(1, 60), st.floats(0, 1), st.floats(0, 1e6))
    def test_delays_are_bounded(self, failures: int, luck: float, asked: float) -> None:
        policy = RetryPolicy(random=lambda: luck)
        assert 0 < policy.delay(failures, asked) <= policy.retry_after_cap
        assert policy.delay(failures) <= policy.cap

    def test_sleep_can_be_replaced_after_the_fact(self, monkeypatch: pytest.MonkeyPatch) -> None:
        naps: list[float] = []
        patience = Patience(RetryPolicy(random=lambda: 1.0))
        monkeypatch.setattr("rayimage.http.patience.time.sleep", naps.append)
        assert patience.again(retry_after=7.0)
        assert naps == [7.0]


def answer(status: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(method="GET", url="https://a", status=status, headers=Headers(named), body=b"")


def script(*steps: Answer | Exception) -> Callable[[], Answer]:
    left = list(steps)

    def ask() -> Answer:
        step = left.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    return ask


class TestInsist:
    def test_until_the_answer_is_final(self) -> None:
        naps: list[float] = []
        policy = RetryPolicy(sleep=naps.append, random=lambda: 1.0)
        ask = script(answer(503), ConnectionFailed("cut"), answer(429, Retry_After="9"), answer(404), answer(200))
        assert insist(policy, ask).status == 404
        assert naps == [0.4, 0.8, 9.0]

    def test_the_last_answer_when_patience_ends(self) -> None:
        policy = RetryPolicy(attempts=2, sleep=lambda _: None)
        assert insist(policy, script(answer(503), answer(502))).status == 502

    def test_no_answer_at_all(self) -> None:
        policy = RetryPolicy(attempts=2, sleep=lambda _: None)
        with pytest.raises(ConnectionFailed, match="second"):
            insist(policy, script(ConnectionFailed("first"), ConnectionFailed("second")))

    def test_other_errors_pass(self) -> None:
        with pytest.raises(RegistryError, match="never"):
            insist(RetryPolicy(sleep=lambda _: None), script(RegistryError("never")))
