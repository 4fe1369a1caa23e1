"""Which signal is raised when."""

import os
import signal
import threading

import pytest

from executors.signals import STOPPING, stop_signals_held, stop_signals_raise


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_raises_keyboard_interrupt(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=number.name), stop_signals_raise():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_held_signals_wait_for_the_end():
    done = []
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        with stop_signals_held():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the work inside")
    assert done == ["the work inside"]


def test_an_error_inside_takes_precedence():
    with pytest.raises(ValueError, match="first"):
        with stop_signals_held():
            os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("first")


def test_nothing_held_nothing_raised():
    before = [signal.getsignal(number) for number in STOPPING]
    with stop_signals_raise(), stop_signals_held():
        assert [signal.getsignal(number) for number in STOPPING] != before
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_other_threads_leave_the_handlers_alone():
    before = [signal.getsignal(number) for number in STOPPING]
    inside = []

    def work():
        with stop_signals_raise():
            inside.append([signal.getsignal(number) for number in STOPPING])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]
