"""The record of a method of learning tokens: what people are shown of it, and how it trains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal

import torch
from torch import Tensor

from ...backbone import Backbone
from ...settings import preset_of
from ...types import Concepts, ConceptTokens, Source
from ..parts.draws import Draws
from .checkpoints import CheckpointStore
from .settings import OnStep
from .task import S, Task, Training
from .training import run

Need = Literal["masks", "class_words"]
"""What a method asks for beside a picture: the masks of its concepts, a class word for each."""


def _unchanged(task: Task[S]) -> Task[S]:
    return task


@dataclass(frozen=True, eq=False)
class Method(Generic[S]):
    """A method of learning tokens.

    Attributes:
        name: its name in workflows, token files and :data:`..registry.METHODS`.
        title: its name for people.
        help: what it does, one sentence.
        presets: preset name to settings; the first is the paper's and the default.
        prepare: starts a training from a task and the generator of the task's seed.
        needs: what it cannot do without.
        note: what people should know beside, such as what differs from the paper; whole sentences, may be empty.
        class_follows_token: whether training sentences and prompts name a concept ``<1> cat`` instead of ``<1>``.
        changes_model: whether a change of the model belongs to the tokens.
        arrange: what the method changes of a task before it is checked, such as one more concept.
        draws_pictures: whether each update is about one of the pictures, so that pictures can have weights.
    """

    name: str
    title: str
    help: str
    presets: Mapping[str, S]
    prepare: Callable[[Task[S], torch.Generator], Training]
    needs: tuple[Need, ...] = ("masks",)
    note: str = ""
    class_follows_token: bool = False
    changes_model: bool = False
    arrange: Callable[[Task[S]], Task[S]] = _unchanged
    draws_pictures: bool = True

    def preset(self, name: str) -> S:
        """Named settings. Raises ``ValueError`` for a name it does not have, listing those it has."""
        return preset_of(self, name)

    def learn(
        self,
        backbone: Backbone,
        picture: Tensor,
        concepts: Concepts,
        settings: S | None = None,
        *,
        words: Mapping[str, str] | None = None,
        classes: Mapping[str, str] | None = None,
        seed: int = 0,
        on_step: OnStep | None = None,
        more: Sequence[Source] = (),
        store: CheckpointStore | None = None,
        weights: Sequence[float] = (),
    ) -> ConceptTokens:
        """Learn one token per concept. The model itself is not changed; the same seed gives the same result.

        Args:
            backbone: the model.
            picture: (1, 3, H, W) in 0..1, the picture that the concepts were found in.
            concepts: N concepts of it.
            settings: the method's own kind; None takes the first preset.
            words: concept name to a word that its vectors start from.
            classes: concept name to the word for its kind.
            seed: random seed of everything that is drawn.
            on_step: called after every update; what it raises ends the training.
            more: further pictures of the same concepts, each with all of them.
            store: keeps the state of the training, so that a cancelled one can go on from there.
            weights: of the pictures, the first and then ``more``: how often each is drawn. None: all alike.

        Returns:
            N tokens and, for methods that change the model, the change they are used with. The metadata says how they
            were learnt, see :func:`.training.run`.

        Raises ``ValueError`` for input that cannot be learnt from (see :func:`..parts.examples.prepare`), prompts that
        do not fit, layers the model does not have, and weights that are not the pictures' or that the method does not
        take; ``FloatingPointError`` when training diverges.
        """
        settings = settings or next(iter(self.presets.values()))
        if getattr(settings, "rank", 0):
            backbone.attention_weights()  # first: a model whose weights cannot be changed is refused before any pass
        if (weights or settings.adaptive_rate) and not self.draws_pictures:
            raise ValueError(f"{self.title} composes its pictures before it learns, so it takes no weights of them")
        given = words, classes, seed, on_step, more, store, Draws(weights)
        task = Task(self.name, backbone, picture, concepts, settings, *given)
        return run(self.arrange(task), self.prepare)
