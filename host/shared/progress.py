"""Telling people how far a long step is, and asking whether they want it to stop.

Inside ComfyUI this is its progress bar and its cancel button; headless a :class:`Session` put in force by the runner;
in neither case (plain library use) nothing is shown and nothing stops.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .environment import inside_comfyui

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.nn import Module

log = logging.getLogger("concept_atelier.host")

PREVIEW_SIDE = 512
LONG = 60.0
"""Seconds that are worth an announcement."""
FEW = 20
"""Steps of which the first counts when it is said how long all take."""
JUDGED, SETTLED = 2.0, 10.0
"""Seconds of work from which on, and up to which, it is judged whether to make one: first steps may be slow."""


class InterruptedRun(Exception):
    """Someone asked the run to stop. Let it pass; clean up in ``finally``."""


class Progress(Protocol):
    """Called once a step: ``step`` of ``total`` are done; ``preview`` shows what there is so far."""

    def __call__(self, step: int, total: int, preview: Image | None = None) -> None: ...


@dataclass
class Session:
    """A headless run: where its progress goes, what it has to say, and whether it was asked to stop."""

    report: Callable[[int, int, Image | None], None] = field(default=lambda step, total, preview: None)
    note: Callable[[str], None] = field(default=lambda text: None)
    stop: bool = False


_session: ContextVar[Session | None] = ContextVar("concept_atelier_session", default=None)


@contextmanager
def use(session: Session) -> Iterator[Session]:
    """Put a session in force within the context."""
    token = _session.set(session)
    try:
        yield session
    finally:
        _session.reset(token)


def check_interrupt() -> None:
    """Raise when the run was asked to stop: :class:`InterruptedRun` headless, ComfyUI's own exception inside it."""
    session = _session.get()
    if session is not None:
        if session.stop:
            raise InterruptedRun("the run was interrupted")
    elif inside_comfyui():
        import comfy.model_management as management

        management.throw_exception_if_processing_interrupted()


@contextmanager
def interruptible(module: Module) -> Iterator[None]:
    """Within the context a headless run that was asked to stop does so inside a pass of a model, between its blocks:
    on a CPU one pass over a large picture takes half a minute."""
    session = _session.get()
    blocks = [part for name, part in module.named_modules() if name.count(".") == 3] if session is not None else []
    handles = [block.register_forward_pre_hook(lambda *_: check_interrupt()) for block in blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def start_progress(node_id: str | None = None) -> Progress:
    """A progress for one long step; every call of it also asks whether to stop (:func:`check_interrupt`).

    Args:
        node_id: the node that works, where it is known (``cls.hidden.unique_id``).
    """
    bar: list[Any] = []
    forecast = Forecast()

    def progress(step: int, total: int, preview: Image | None = None) -> None:
        check_interrupt()
        session = _session.get()
        announcement = forecast.after(step, total)
        if announcement:
            say(announcement)
        if session is not None:
            session.report(step, total, preview)
        elif inside_comfyui():
            import comfy.utils as utils

            if not bar:
                bar.append(utils.ProgressBar(total, node_id=node_id))
            picture = ("JPEG", preview, PREVIEW_SIDE) if preview is not None else None
            bar[0].update_absolute(step, total, picture)

    return progress


class Counter:
    """Adds up the passes of one long step and shows how many of them are done; may stop it as :func:`start_progress`.

    Attributes:
        total: how many there will be; what is done beyond is not shown.
    """

    def __init__(self, node_id: str | None, total: int = 0) -> None:
        self.total, self._done, self._progress = total, 0, start_progress(node_id)

    def __call__(self, more: int) -> None:
        """So many more are done."""
        self._done += more
        self._progress(min(self._done, self.total), self.total)


class Forecast:
    """Says, after the first steps, how long what was begun will take, if that is longer than a minute; again whenever
    half of the time that was said has gone by, from the speed since then. Of many steps the first does not count: it
    often prepares what the others use."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since: tuple[int, float] | None = None
        self._due: float | None = None
        self._short = False
        self._prepared = False

    def after(self, step: int, total: int) -> str:
        """What to say when ``step`` of ``total`` are done; mostly nothing."""
        now = self._now()
        if self._since is None:
            self._since = step, now
        if total > FEW and not self._prepared and step > self._since[0]:
            self._prepared, self._since = True, (step, now)
        steps, seconds = step - self._since[0], now - self._since[1]
        if self._short or steps < 1 or seconds < JUDGED or (self._due is not None and now < self._due):
            return ""
        left = seconds / steps * (total - step)
        if left <= LONG:
            self._short = self._due is not None or seconds > SETTLED
            return ""
        first = self._due is None
        self._since, self._due = (step, now), now + max(LONG, left / 2)
        said = f"{total - step} of {total} steps left, about {_time(left)}"
        return f"{said}; cancel stops it within a step" if first else said


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def say(text: str) -> None:
    """A sentence for whoever waits: headless under the progress, inside ComfyUI in its log."""
    session = _session.get()
    if session is not None:
        session.note(text)
    elif inside_comfyui():
        log.info("%s", text)
