"""The record of a method of localising concepts: what people are shown of it, and how it finds them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from torch import Tensor

from ..backbone import Backbone
from ..pictures import check_picture
from ..settings import preset_of
from ..types import Concepts
from .parts.observation import OnStep

S = TypeVar("S")

LEAST_CONTRAST = 2 / 255
"""By how much the brightest and the darkest value of a channel must differ: less is noise of the file format."""

Need = Literal["words"]
"""What a method asks for beside a picture: the words for the things in it."""


@dataclass(frozen=True, eq=False)
class LocalizeTask(Generic[S]):
    """What to localise: the arguments of :meth:`Localizer.localize`.

    Attributes:
        backbone: the model.
        picture: (1, 3, H, W) in 0..1.
        settings: the method's own.
        words: the things to find, for methods that need them.
        seed: random seed of everything that is drawn.
        on_step: called as the work goes on.
    """

    backbone: Backbone
    picture: Tensor
    settings: S
    words: tuple[str, ...] = ()
    seed: int = 0
    on_step: OnStep | None = None


@dataclass(frozen=True, eq=False)
class Localizer(Generic[S]):
    """A method of localising concepts.

    Attributes:
        name: its name in workflows and in :data:`.registry.METHODS`.
        title: its name for people.
        help: what it does, one sentence.
        presets: preset name to settings; the first is the paper's and the default.
        find: finds the concepts that a task asks for.
        needs: what it cannot do without.
        note: what people should know beside; whole sentences, may be empty.
    """

    name: str
    title: str
    help: str
    presets: Mapping[str, S]
    find: Callable[[LocalizeTask[S]], Concepts]
    needs: tuple[Need, ...] = ()
    note: str = ""

    def preset(self, name: str) -> S:
        """Named settings. Raises ``ValueError`` for a name it does not have, listing those it has."""
        return preset_of(self, name)

    def localize(
        self,
        backbone: Backbone,
        picture: Tensor,
        settings: S | None = None,
        *,
        words: Sequence[str] = (),
        seed: int = 0,
        on_step: OnStep | None = None,
    ) -> Concepts:
        """The concepts of a picture.

        Args:
            backbone: needs its picture encoder, text encoder and denoiser.
            picture: (1, 3, H, W) in 0..1, any H and W of at least one latent cell.
            settings: the method's own kind; None takes the first preset.
            words: the things to find, for methods that need them.
            seed: random seed of the noise.
            on_step: see :data:`.parts.observation.OnStep`.

        Raises ``ValueError`` for pictures of another shape, with NaN or infinite values, smaller than one latent cell
        or of one colour only, and for a method that needs words without any.
        """
        check_picture(picture)
        multiple, (height, width) = backbone.latent_downscale, picture.shape[-2:]
        if min(height, width) < multiple:
            raise ValueError(f"the picture is {width}x{height} pixels; this model needs at least {multiple}x{multiple}")
        if float((picture.amax((-2, -1)) - picture.amin((-2, -1))).max()) < LEAST_CONTRAST:
            raise ValueError("the picture is one colour only, so there is nothing to find in it")
        if "words" in self.needs and not words:
            raise ValueError(f"{self.title} finds things by words: name at least one word to look for")
        settings = settings or next(iter(self.presets.values()))
        return self.find(LocalizeTask(backbone, picture, settings, tuple(words), seed, on_step))
