"""Fixtures that listen to ComfyUI's progress bars, and cancel runs by them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@pytest.fixture
def uninterrupted(comfyui) -> Iterator[None]:
    """Nobody has asked to stop, before and after."""
    import comfy.model_management as management

    management.interrupt_current_processing(False)
    yield
    management.interrupt_current_processing(False)


@pytest.fixture
def every_step(comfyui, monkeypatch) -> None:
    """Progress bars report every step, also steps that come quickly (since 0.19 they leave those out)."""
    import comfy.utils

    for name in ("PROGRESS_THROTTLE_MIN_INTERVAL", "PROGRESS_THROTTLE_MIN_PERCENT"):
        monkeypatch.setattr(comfy.utils, name, 0.0, raising=False)


@dataclass
class Bar:
    """What ComfyUI's progress bars were given, as its server hears it; cancels a run like its button.

    Attributes:
        steps: steps done and of how many, in order.
        cancel_at: from which step on to cancel, never if None. Newer bars leave out steps that come quickly.
        cancel_total: only in bars of that length.
    """

    steps: list[tuple[int, int]] = field(default_factory=list)
    cancel_at: int | None = None
    cancel_total: int | None = None

    def on_progress(self, done: int, total: int, *_: Any, **__: Any) -> None:
        import comfy.model_management as management

        self.steps.append((done, total))
        if self.cancel_at is not None and done >= self.cancel_at and self.cancel_total in (None, total):
            management.interrupt_current_processing(True)
        management.throw_exception_if_processing_interrupted()  # as the server's own hook does


@pytest.fixture
def bar(uninterrupted) -> Iterator[Bar]:
    """Listens to every progress bar while the test runs."""
    import comfy.utils

    watching = Bar()
    comfy.utils.set_progress_bar_global_hook(watching.on_progress)
    yield watching
    comfy.utils.set_progress_bar_global_hook(None)
