"""Guards that go with a MODEL: every sampling run on it begins a run of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from ...core.attention.words import first_places
from ...core.backbone import Backbone, Conditioning, Placeholders
from ...core.erase.guards.guard import Guard, Guarded, GuardRun, GuardTask
from ...core.erase.parts.requests import check_texts, pair_anchors


class SamplingGuard(Protocol):
    """What goes with a MODEL and acts in each of its sampling runs."""

    @property
    def title(self) -> str:
        """Its name for people."""
        ...

    @property
    def original(self) -> Any:
        """Another MODEL that it asks; None for the one that is sampled."""
        ...

    @property
    def alternative(self) -> str:
        """What to choose in its place where a latent must not move."""
        ...

    def check(self, backbone: Backbone) -> None:
        """Raises ``ValueError`` for a model that it does not fit."""
        ...

    def acts(self, backbone: Backbone, level: Tensor) -> bool:
        """Whether it acts at a noise level () of a model."""
        ...

    def begin(self, backbone: Backbone, original: Backbone) -> GuardRun:
        """What acts in one sampling run."""
        ...


@dataclass(frozen=True, eq=False)
class SampledGuard:
    """What is kept out of pictures, and how.

    Attributes:
        guard: the method.
        concepts: what to keep out.
        settings: the method's own kind.
        strength: factor on the correction.
        original: the MODEL before anything was erased; None for the one that is sampled.
        seed: of what the guard draws.
        alternative: a method that does not move the latent.
        preserve: what shall stay.
    """

    guard: Guard[Any]
    concepts: tuple[Guarded, ...]
    settings: Any
    strength: float = 1.0
    original: Any = None
    seed: int = 0
    alternative: str = "adavd"
    preserve: tuple[Guarded, ...] = ()

    @property
    def title(self) -> str:
        """The method's name for people."""
        return self.guard.title

    def check(self, backbone: Backbone) -> None:
        """Raises ``ValueError`` for a model that the method cannot guard."""
        self.guard.check(backbone)

    def begin(self, backbone: Backbone, original: Backbone) -> GuardRun:
        """What acts in one sampling run."""
        return self.guard.begin(self._task(backbone, original))

    def acts(self, backbone: Backbone, level: Tensor) -> bool:
        """Whether it acts at a noise level () of a model."""
        return self._task(backbone, backbone).acts(level)

    def _task(self, backbone: Backbone, original: Backbone) -> GuardTask[Any]:
        asked = self.concepts, self.settings, self.strength, self.seed, self.preserve
        return GuardTask(backbone, original, *asked)


SENTENCE = "a photo of {}"


def guarded_concepts(
    backbone: Backbone,
    concepts: Sequence[str],
    anchors: str | Sequence[str],
    placeholders: Placeholders,
    strength: float,
) -> tuple[Guarded, ...]:
    """Concepts with their anchors, encoded. Raises ``ValueError`` as
    :func:`~...core.erase.parts.requests.check_texts` does, and for a model that is not asked about single texts."""
    pairs = pair_anchors(concepts, anchors)
    check_texts(pairs, (), strength)
    return _read(backbone, pairs, placeholders)


def check_strength(guard: Guard[Any], strength: float) -> None:
    """Raise ``ValueError`` for a strength below 0 where the guard does not amplify."""
    if strength < 0 and not guard.amplifies:
        raise ValueError(
            f"{guard.title} cannot strengthen a concept: its strength must be 0 or more, got {strength:g}; use another "
            "method"
        )


def preserved_concepts(
    backbone: Backbone,
    preserve: Sequence[str],
    concepts: Sequence[str],
    placeholders: Placeholders,
) -> tuple[Guarded, ...]:
    """Words or phrases that shall stay, encoded. Raises ``ValueError`` for those that are to be kept out."""
    check_texts([(concept, "") for concept in concepts], preserve, 1.0)
    return _read(backbone, [(word, "") for word in preserve], placeholders)


def _read(backbone: Backbone, pairs: Sequence[tuple[str, str]], placeholders: Placeholders) -> tuple[Guarded, ...]:
    def read(concept: str, anchor: str) -> Guarded:
        text = SENTENCE.format(concept)
        tokens = backbone.tokenize(text, placeholders)
        of_concept, of_anchor = (
            _by_itself(backbone, one, placeholders) for one in (text, SENTENCE.format(anchor) if anchor else "")
        )
        return Guarded(concept, of_concept, tokens, first_places(tokens, concept), of_anchor)

    return tuple(read(*pair) for pair in pairs)


def _by_itself(backbone: Backbone, text: str, placeholders: Placeholders) -> Conditioning:
    """A text as the model is asked about it. Raises ``ValueError`` for a model whose texts have parts beside their rows
    that belong to no picture (Anima), which it is not asked about one by one."""
    read = backbone.encode_text([text], placeholders)
    if read.one_text:
        raise ValueError(
            f"guards ask the model about single texts, which this one ({backbone.family}) does not take; use Erase "
            "Concepts"
        )
    return read


def described(method: Any, settings: Any, concepts: Sequence[Guarded], strength: float) -> str:
    """What is guarded and what it costs, for people."""
    if strength == 0:
        return "Strength 0: the model is as it was."
    names = ", ".join(concept.name for concept in concepts)
    does = "keeps out" if strength > 0 else "strengthens"
    return f"{method.title} {does} {names}, at strength {strength:g}. Cost: {settings.cost}. {method.note}".strip()
