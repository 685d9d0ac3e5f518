"""What Capture Attention hands on: the attention of the last finished sampling runs, each kept for itself."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...core.attention.ending import PassEnded
from ...core.attention.maps import AttentionMaps
from ...core.attention.record import AttentionRecorder
from ...core.attention.selection import Grid, Selection
from ...core.attribute.concept_attention import ConceptBackbone, ConceptCall, ConceptRecorder, ConceptRows
from ...core.attribute.places import Place, whole
from ...core.backbone import Conditioning
from ...core.messages import listed, shown
from ...core.sampling import same_samples
from .handles import Capture

KEPT_RUNS = 4
"""Runs that one capture remembers; a heat map of an earlier one needs another sampling."""


@dataclass(frozen=True, eq=False)
class CapturedPart:
    """Attention on one positive conditioning in one rectangle of the latent.

    Attributes:
        place: the rectangle, in latent cells.
        maps: on the CPU, with the context of that conditioning.
    """

    place: Place
    maps: AttentionMaps


@dataclass(frozen=True, eq=False)
class WantedConcepts:
    """Concepts whose maps are captured while a sampler runs (ConceptAttention).

    Attributes:
        names: N words or phrases, those for the background among them.
        rows: their rows of text.
        sites: names of the layers that are read, in the order they run.
    """

    names: tuple[str, ...]
    rows: ConceptRows
    sites: tuple[str, ...]


class ConceptTape:
    """Maps of wanted concepts in one sampling run, of passes that end at the last layer that is read."""

    def __init__(self, wanted: WantedConcepts) -> None:
        self._wanted, self._recorder = wanted, ConceptRecorder(wanted.rows.counts)
        self._empty = True

    def tap(self, call: ConceptCall) -> None:
        """Add one layer. Raises :class:`~...core.attention.ending.PassEnded` behind the last."""
        self._recorder.tap(call)
        self._empty = False
        if call.site.name == self._wanted.sites[-1]:
            raise PassEnded

    def maps(self) -> Tensor | None:
        """(N, B, h, w) on the CPU; None if nothing was recorded."""
        return None if self._empty else self._recorder.maps().float().cpu()


@dataclass(frozen=True, eq=False)
class Run:
    """A finished sampling run.

    Attributes:
        parts: what was captured, one part for each text and place.
        latent_size: (h, w).
        samples: (B, C, h, w) on the CPU, what the sampler gave; None where it is not known.
        missed: why something was not captured, for people.
        concepts: (N, B, h, w) maps of the wanted concepts, on the CPU; None where none were wanted or read.
    """

    parts: tuple[CapturedPart, ...]
    latent_size: Grid
    samples: Tensor | None = None
    missed: tuple[str, ...] = ()
    concepts: Tensor | None = None

    def parts_about(self, context: Tensor) -> list[tuple[Place, AttentionMaps]]:
        """The parts that were conditioned on ``context`` (1, L, D); none if it was not sampled.

        Raises ``ValueError`` when nothing was captured.
        """
        if not self.parts:
            raise ValueError(f"no attention was recorded: {_reasons(self.missed)}")
        return [(part.place, part.maps) for part in self.parts if part.maps.reads(context)]

    @property
    def contexts(self) -> list[Tensor]:
        """The positive conditionings (1 or B, L, D) that were sampled together, each once."""
        return _distinct(part.maps.context for part in self.parts)

    @property
    def texts(self) -> int:
        """Number of positive conditionings that were sampled together."""
        return len(self.contexts)

    @property
    def text_widths(self) -> set[int]:
        """Widths of the texts that the model was sampled with."""
        contexts = (part.maps.context for part in self.parts)
        return {int(context.shape[-1]) for context in contexts if context is not None}

    def gave(self, samples: Tensor) -> bool:
        """Whether ``samples`` (B, C, h, w) are what came out of this run."""
        return same_samples(self.samples, samples)


@dataclass(eq=False)
class AttentionCapture:
    """The socket value. Runs are added when they finish, so that an interrupted one leaves nothing."""

    selection: Selection
    concepts: WantedConcepts | None = None
    runs: deque[Run] = field(default_factory=lambda: deque(maxlen=KEPT_RUNS))

    def add(self, run: Run) -> None:
        """Remember a finished run; one that gave the same samples before is replaced."""
        for old in list(self.runs):
            if run.samples is not None and old.gave(run.samples):
                self.runs.remove(old)
        self.runs.append(run)

    def run_of(self, samples: Tensor) -> tuple[Run, str]:
        """The run that gave ``samples`` (B, C, h, w), and what is to be said about the choice ("" if nothing).

        Latents that were changed after sampling cannot be assigned to a run: then it is the last run.
        Raises ``ValueError`` when no run has finished.
        """
        if not self.runs:
            raise ValueError(
                "no attention was recorded: no sampler has finished on the MODEL that Capture Attention gave; "
                "connect that one to the sampler"
            )
        found = [run for run in self.runs if run.gave(samples)]
        run = found[-1] if found else self.runs[-1]
        notes = [f"Not all of it was recorded: {_reasons(run.missed)}."] if run.missed else []
        if not found and len(self.runs) > 1:
            notes.append(
                f"This latent did not come straight out of the last {len(self.runs)} runs of the captured MODEL; the "
                "maps are those of the last run."
            )
        if not found and run.samples is not None and len(run.samples) != len(samples):
            notes.append(f"This latent holds {len(samples)} pictures and the run that was recorded {len(run.samples)}.")
        return run, " ".join(notes)

    def concept_maps(self, run: Run, names: Sequence[str]) -> Tensor:
        """(n, B, h, w) maps of n of the wanted concepts in a run.

        Raises ``ValueError`` for concepts that were not wanted, and where nothing of them was recorded.
        """
        wanted = () if self.concepts is None else self.concepts.names
        strange = [name for name in names if name not in wanted]
        if strange:
            there = f"captured were {listed(wanted)}" if wanted else "no concepts were captured"
            raise ValueError(
                f"{shown(strange[0])} was not captured while sampling ({there}): name it in Capture Attention"
            )
        if run.concepts is None:
            raise ValueError(f"no map of a concept was recorded: {_reasons(run.missed)}")
        return run.concepts[[wanted.index(name) for name in names]]

    def maps(self) -> AttentionMaps:
        """The maps of the last run, where it had one text and one place. Raises ``ValueError`` otherwise."""
        run = self.runs[-1] if self.runs else None
        if run is None or not run.parts:
            raise ValueError(f"no attention was recorded: {_reasons(run.missed if run else ())}")
        if len(run.parts) > 1:
            raise ValueError(f"the last run has {len(run.parts)} parts (texts or areas); ask for one by its text")
        return run.parts[0].maps


def headless_capture(capture: AttentionCapture, default: tuple[str, ...]) -> Capture:
    """A listener for our own sampler that adds each finished run to ``capture``; ``default`` names the layers that are
    read where its selection leaves the choice to the model."""
    selection = capture.selection
    recorder = AttentionRecorder(replace(selection, sites=default) if selection.sites is None else selection)

    tapes: list[ConceptTape] = []
    span = selection.timesteps

    def begin(conditioning: Conditioning) -> None:
        recorder.begin(conditioning)
        tapes[:] = [] if capture.concepts is None else [ConceptTape(capture.concepts)]

    def beside(backbone: ConceptBackbone, timestep: float, run: Callable[[], object]) -> None:
        wanted = capture.concepts
        if wanted is None or (span is not None and not span[0] <= timestep <= span[1]):
            return

        def tap(call: ConceptCall) -> None:
            tapes[0].tap(replace(call, conditional=(True,) * len(call.conditional)))

        sites = [site for site in backbone.attention_sites() if site.name in wanted.sites]
        with backbone.tap_concepts(tap, wanted.rows, sites), suppress(PassEnded):
            run()

    def finish(samples: Tensor) -> None:
        size = (samples.shape[-2], samples.shape[-1])
        parts = () if recorder.empty else (CapturedPart(whole(size), on_cpu(recorder.maps())),)
        maps = tapes[0].maps() if tapes else None
        capture.add(Run(parts, size, samples.detach().clone(), concepts=maps))
        recorder.begin()

    return Capture(recorder.tap, None, begin, finish, None if capture.concepts is None else beside)


def on_cpu(maps: AttentionMaps) -> AttentionMaps:
    """The same maps as float32 on the CPU."""
    return replace(
        maps,
        cross={grid: one.float().cpu() for grid, one in maps.cross.items()},
        self_attention={grid: one.float().cpu() for grid, one in maps.self_attention.items()},
        context=None if maps.context is None else maps.context.float().cpu(),
    )


def _reasons(missed: Iterable[str]) -> str:
    return "; ".join(missed) or (
        "nothing ran, or no layer fits what Capture Attention was given as least_grid, greatest_grid, stages, "
        "start_percent, end_percent and blocks"
    )


def _distinct(contexts: Iterable[Tensor | None]) -> list[Tensor]:
    seen: list[Tensor] = []
    for context in contexts:
        if context is not None and not any(torch.equal(context, old) for old in seen):
            seen.append(context)
    return seen
