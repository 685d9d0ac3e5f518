"""The record of a method of erasing concepts: what people are shown of it, and how it changes the model."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from ..backbone import Backbone, KeyValueWeight, Placeholders
from ..messages import listed
from ..settings import preset_of
from ..types import Change, Erasure, SamplingGuard
from .parts.pooled import pooled_changes
from .parts.related import WordSearch, words_to_keep
from .parts.requests import check_texts, pair_anchors
from .parts.saved import base_of
from .parts.settings import ClosedFormSettings, EraseSettings
from .parts.task import EraseTask, OnStep, TrainingRequest

SHOWN = 12
"""How many kept words are named."""

S = TypeVar("S", bound=EraseSettings)


@dataclass(frozen=True, eq=False)
class ModelEdit:
    """What a method changes, at strength 1.

    Attributes:
        factors: weight name of the denoiser (the host's) to its change, low-rank or full.
        text: text encoder name to its changes by weight name.
        guards: corrections while a picture is sampled.
        notes: further metadata.
        remarks: what people should know of this edit; whole sentences.
    """

    factors: Mapping[str, Change] = field(default_factory=dict)
    text: Mapping[str, Mapping[str, Change]] = field(default_factory=dict)
    guards: tuple[SamplingGuard, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Eraser(Generic[S]):
    """A method of erasing concepts.

    Attributes:
        name: its name in workflows, LoRA files and :data:`.registry.METHODS`.
        title: its name for people.
        help: what it does, one sentence.
        presets: preset name to settings; the first is the paper's and the default.
        edit: computes the change that a task asks for.
        note: what people should know beside; whole sentences, may be empty.
        trains: whether it trains, for minutes: such methods belong to Train Erasure.
        pictures_of: what pictures people may show it (:attr:`TrainingRequest.pictures`); empty for none.
    """

    name: str
    title: str
    help: str
    presets: Mapping[str, S]
    edit: Callable[[EraseTask[S]], ModelEdit]
    note: str = ""
    trains: bool = False
    pictures_of: Literal["", "concepts", "anchors"] = ""

    def preset(self, name: str) -> S:
        """Named settings. Raises ``ValueError`` for a name it does not have, listing those it has."""
        return preset_of(self, name)

    def erase(
        self,
        backbone: Backbone,
        concepts: Sequence[str],
        anchors: str | Sequence[str] = "",
        preserve: Sequence[str] = (),
        settings: S | None = None,
        strength: float = 1.0,
        placeholders: Placeholders | None = None,
        on_step: OnStep | None = None,
        training: TrainingRequest | None = None,
    ) -> Erasure:
        """Edit the model so that it reads each concept as its anchor.

        Args:
            backbone: gives the text encoder and the weights, which are not changed.
            concepts: words or phrases to erase, at least one.
            anchors: what to read instead: one for all, or one per concept; ``""`` is the unconditional text.
            preserve: words or phrases whose encoding shall stay.
            settings: the method's own kind; None takes the first preset.
            strength: multiplier in force: 0 changes nothing, 1 is the paper's edit, negative values amplify.
            placeholders: learnt tokens that the texts may name, ``"<apple>"`` to vectors.
            on_step: as in :class:`~.parts.task.EraseTask`.
            training: seed, reports and kept states, for methods that train.

        Raises ``ValueError`` for empty or repeated concepts, a wrong number of anchors, a concept that is also
        preserved or is its own anchor, a strength that is not finite, and a model that the method cannot edit.
        """
        began, settings = time.perf_counter(), settings or next(iter(self.presets.values()))
        pairs = pair_anchors(concepts, anchors)
        check_texts(pairs, preserve, strength)
        solves = isinstance(settings, ClosedFormSettings)
        # First: a model that has none is refused before anything is computed.
        weights = backbone.key_value_weights() if solves else ()
        asked = training or TrainingRequest()
        if asked.pictures is not None and not self.pictures_of:
            raise ValueError(f"{self.title} draws its own pictures; disconnect the pictures, or choose another method")
        task = EraseTask(backbone, tuple(pairs), tuple(preserve), settings, placeholders, on_step, asked)
        kept = _kept_words(task) if solves else ()
        task = replace(task, preserve=(*task.preserve, *kept))
        edit = self.edit(task)
        factors = {**edit.factors, **(pooled_changes(task) if solves else {})}
        said = (f"Kept beside your list: {listed(kept, SHOWN)}.",) if kept else ()
        unkept = (settings.preserve_note,) if settings.preserve_note and any(map(str.strip, preserve)) else ()
        remarks = (*edit.remarks, *said, *unkept, *_without_choice(settings, weights))
        metadata = {
            "method": self.name,
            "concepts": json.dumps([concept for concept, _ in pairs]),
            "anchors": json.dumps([anchor for _, anchor in pairs]),
            "preserve": json.dumps(list(preserve)),
            "settings": json.dumps(asdict(settings)),
            **base_of(backbone, factors, edit.text),
            **({"remarks": json.dumps(remarks)} if remarks else {}),
            **edit.notes,
        }
        took = time.perf_counter() - began
        return Erasure(factors, float(strength), backbone.family, metadata, edit.text, edit.guards, took)


def _kept_words(task: EraseTask[Any]) -> tuple[str, ...]:
    """The words near the concepts that a closed form preserves beside the list."""
    settings = task.settings
    if not settings.kept_words:
        return ()
    named = [*task.preserve, *(text for pair in task.pairs for text in pair)]
    search = WordSearch(task.backbone, task.placeholders, searched=settings.kept_words)
    return words_to_keep(search, [concept for concept, _ in task.pairs], named, settings.kept_below)


def _without_choice(settings: EraseSettings, weights: Sequence[KeyValueWeight]) -> tuple[str, ...]:
    """What to say of a choice between keys and values that the model does not have."""
    chosen = getattr(settings, "projections", "both")
    if chosen == "both" or not any(weight.role == "text" for weight in weights):
        return ()
    return (
        "In this model the text enters through one layer for keys and values together, so the choice "
        f"projections={chosen} has no effect.",
    )
