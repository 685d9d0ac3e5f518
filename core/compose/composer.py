"""The record of a method of composing concepts: what people are shown of it, and what it does in a sampling run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from torch import Tensor

from ..attention.selection import Grid
from ..backbone import AttentionEdit, AttentionInputs
from ..settings import Settings, preset_of, setting
from .composition import Composition, within
from .parts.areas import Area
from .parts.layers import LayerEdit
from .parts.steering import LatentStep

Share = Callable[[float | None], float]
"""The share of denoising that is done at a timestep: 0 at the noisiest, 1 at the cleanest."""


@dataclass(frozen=True)
class ComposeSettings(Settings):
    """What every composer has; each field's help is in its metadata."""

    start: float = setting(0.0, "Share of denoising from which the method acts, 0 is the first step.")
    end: float = setting(1.0, "Share of denoising to which the method acts, 1 is the last step.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"start and end must be a span within 0 to 1, got {self.start:g} and {self.end:g}")

    def acts(self, share: float) -> bool:
        """Whether the method acts at a share of denoising."""
        return within(share, self.start, self.end)

    @property
    def cost(self) -> str:
        """What composing costs at most, for people."""
        raise NotImplementedError

    @property
    def gradients(self) -> bool:
        """Whether the model may be asked for gradients while a picture is sampled."""
        return False

    def cost_of(self, composition: Composition) -> str:
        """What this composition costs, for people."""
        return self.cost

    def takes_gradients(self, composition: Composition) -> bool:
        """Whether the model is asked for gradients while this composition is sampled."""
        return self.gradients

    def left_out(self, composition: Composition) -> str:
        """What the settings ask for and this composition cannot have, a whole sentence; empty for nothing."""
        return ""


S = TypeVar("S", bound=ComposeSettings)

Needs = Literal["words", "regions", "boxes", "texts", "branches"]


def leave(inputs: AttentionInputs) -> Tensor | None:
    """An edit of attention that changes nothing."""
    return None


FoundPlaces = Callable[[Grid], Tensor | None]
"""A grid (h, w) to where regions lie on it, (1 or B, R, h, w) in 0..1; None where a run does not know."""


def nowhere(grid: Grid) -> Tensor | None:
    """The places of a method that has none."""
    return None


@dataclass(frozen=True, eq=False)
class Run:
    """What a method does in one sampling run; it may keep state of that run.

    Attributes:
        edit: of the attention.
        before: what happens to the latent before each step; None for nothing.
        divides: whether the texts of the composition are kept apart in layers that mix rows of the text before the
            picture joins them (:func:`.parts.regional.read_alone`), too.
        layers: of the further layers that the composition changes (:attr:`.composition.Composition.layers`), in every
            pass of the run; None for nothing.
        places: where regions lie as far as the run knows: given, or found in it.
    """

    edit: AttentionEdit = leave
    before: LatentStep | None = None
    divides: bool = False
    layers: LayerEdit | None = None
    places: FoundPlaces = nowhere


def begin_nothing(composition: Composition, settings: ComposeSettings, share: Share) -> Run:
    """The run of a method that leaves the model as it is."""
    return Run()


@dataclass(frozen=True, eq=False)
class Composer(Generic[S]):
    """A method of composing.

    Attributes:
        name: its name in workflows and :data:`.registry.METHODS`.
        title: its name for people.
        help: what it does, one sentence.
        presets: preset name to settings: ``paper`` first, and ``small`` for the lab model.
        begin: begins one sampling run.
        needs: ``regions``: places, given or found by the words; ``boxes``: places that are given; ``words``: the
            concepts' words in the prompt; ``texts``: the concepts' texts, encoded beside the prompt; ``branches``: for
            each concept the prompt in which it takes the place of all.
        least_named: of a method that needs words: how many concepts the prompt must name.
        unets_only: whether it needs self- and cross-attention in layers of their own, which transformers do not have.
        follows_reference: whether it takes the layout of a reference picture.
        note: what people should know beside; whole sentences, may be empty.
        costs: what it costs in general, a whole sentence; the settings say more.
        areas: of a method that leaves the model as it is and composes by several conditionings: what regions predict
            beside the prompt of the whole picture. None for a method that acts in the model.
    """

    name: str
    title: str
    help: str
    presets: Mapping[str, S]
    begin: Callable[[Composition, S, Share], Run]
    needs: tuple[Needs, ...]
    least_named: int = 1
    unets_only: bool = False
    follows_reference: bool = False
    note: str = ""
    costs: str = ""
    areas: Callable[[Composition, S], tuple[Area, ...]] | None = None

    def preset(self, name: str) -> S:
        """Named settings. Raises ``ValueError`` for a name it does not have, listing those it has."""
        return preset_of(self, name)


def share_of(steps: int) -> Share:
    """The share of denoising at each of so many timesteps; 0 where the timestep is not known."""

    def share(timestep: float | None) -> float:
        return 0.0 if timestep is None else min(max(1 - timestep / (steps - 1), 0.0), 1.0)

    return share
