"""Every way of learning tokens, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from torch import Tensor

from ..backbone import Backbone
from ..types import Concepts, ConceptTokens, Source
from .engine.checkpoints import Keeper
from .engine.settings import LearnSettings, OnStep
from .methods import attencraft, break_a_scene, conceptexpress, cones, disendiff, far


class Learn(Protocol):
    """The ``learn`` of every method; ``settings`` are the method's own kind, None its default."""

    def __call__(
        self,
        backbone: Backbone,
        picture: Tensor,
        concepts: Concepts,
        settings: Any = None,
        *,
        words: Mapping[str, str] | None = None,
        classes: Mapping[str, str] | None = None,
        seed: int = 0,
        on_step: OnStep | None = None,
        more: Sequence[Source] = (),
        keeper: Keeper | None = None,
    ) -> ConceptTokens: ...


@dataclass(frozen=True)
class Method:
    """A way of learning tokens.

    Attributes:
        learn: does it.
        presets: named settings; the first is the paper's.
        help: what it does, one or two sentences for people.
    """

    learn: Learn
    presets: Mapping[str, LearnSettings]
    help: str

    def preset(self, name: str) -> LearnSettings:
        """Named settings. Raises ``ValueError`` for a name it does not have, saying which it has."""
        if name not in self.presets:
            raise ValueError(f"this method has no preset {name!r}; it has {', '.join(self.presets)}")
        return self.presets[name]


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "conceptexpress": Method(conceptexpress.learn, conceptexpress.PRESETS, conceptexpress.HELP),
        "cones": Method(cones.learn, cones.PRESETS, cones.HELP),
        "break_a_scene": Method(break_a_scene.learn, break_a_scene.PRESETS, break_a_scene.HELP),
        "disendiff": Method(disendiff.learn, disendiff.PRESETS, disendiff.HELP),
        "attencraft": Method(attencraft.learn, attencraft.PRESETS, attencraft.HELP),
        "far": Method(far.learn, far.PRESETS, far.HELP),
    }
)
"""Method name to method, in the order that people are shown."""
