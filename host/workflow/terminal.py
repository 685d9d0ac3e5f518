"""Showing a run in a terminal: which node is at work, and how far it is."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Protocol, TextIO

from ...core.messages import plain
from .graph import GraphNode

if TYPE_CHECKING:
    from PIL.Image import Image

BAR_WIDTH = 24
DONE, LEFT = "\u2588", "\u2591"  # a full block, a light shade
PLAIN_DONE, PLAIN_LEFT = "#", "-"


def show_any_letter(*streams: TextIO) -> None:
    """Make streams escape letters that their encoding lacks, so that no run ends at the line with its result."""
    for stream in streams:
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _bar_letters(encoding: str | None) -> tuple[str, str]:
    try:
        (DONE + LEFT).encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return PLAIN_DONE, PLAIN_LEFT
    return DONE, LEFT


class Reporter(Protocol):
    """Is called with what a run does."""

    def node(self, node: GraphNode, index: int, count: int) -> None:
        """A node starts, the ``index``-th (from 0) of ``count``."""
        ...

    def step(self, step: int, total: int, preview: Image | None) -> None:
        """The node at work has done ``step`` of ``total``."""
        ...

    def note(self, text: str) -> None:
        """Something to say."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class Quiet:
    """Tells nobody."""

    def node(self, node: GraphNode, index: int, count: int) -> None:
        pass

    def step(self, step: int, total: int, preview: Image | None) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class TerminalBar:
    """One line a node; in a terminal with a bar that moves, in a log file without."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty()
        self._letters = _bar_letters(getattr(self._stream, "encoding", None))
        self._line, self._open = "", False

    def node(self, node: GraphNode, index: int, count: int) -> None:
        self._end_line()
        self._line = f"[{index + 1}/{count}] {plain(node.title)} ({plain(node.id)})"
        self._write(self._line)
        self._open = True
        if not self._moving:
            self._end_line()

    def step(self, step: int, total: int, preview: Image | None) -> None:
        if self._moving and total > 0:
            filled = min(BAR_WIDTH, BAR_WIDTH * step // total)
            done, left = self._letters
            self._write(f"\r{self._line} {done * filled}{left * (BAR_WIDTH - filled)} {step}/{total}")
            self._open = True

    def note(self, text: str) -> None:
        self._end_line()
        self._write(f"{text}\n")

    def close(self) -> None:
        self._end_line()

    def _end_line(self) -> None:
        if self._open:
            self._write("\n")
        self._open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
