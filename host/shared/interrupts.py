"""Ctrl-C, and the signal by which other programs ask one to end (SIGTERM), which means the same here."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended, by convention."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_stop(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` at either signal within the context. Without effect in threads, which get no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        act()

    previous = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def stop_here() -> None:
    """Ends what runs by a ``KeyboardInterrupt``, so that everything is put in order on the way out."""
    raise KeyboardInterrupt


def leave() -> None:
    """Ends the program where it is. For the time in which modules load, when nothing is open that could be left half
    done: some libraries turn an exception that comes while they load into another one, with a page of traceback."""
    os.write(2, b"stopped while loading; nothing was done\n")  # the stream may be in use where the signal came
    os._exit(INTERRUPTED)
