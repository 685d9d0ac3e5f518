"""Where concepts are in a picture that no prompt needs to name.

"ConceptAttention: Diffusion Transformers Learn Highly Interpretable Features", Helbling et al., ICML 2025,
arXiv 2502.04320, section 4. Rows of text for the concepts run through the blocks of a transformer beside the prompt's
rows, by the text's own weights. In each attention they read the picture x and one another, and nothing reads them:

    o_c = softmax(q_c [k_c ; k_x]^T / sqrt(d)) [v_c ; v_x]                                              (1)

The picture's rows keep their own attention, whose output is o_x. Both outputs are compared as they come, all heads side
by side and before the projection that follows:

    s(x, c) = <o_x, o_c>                                                                                (2)
    map(x, c) = mean over blocks and passes of softmax over concepts of s(x, c)                         (3)

The paper takes the first token of a concept. Here every token of it is a row, and o_c is their mean, so that words of
several pieces count whole. The paper gives the rows a pooled text of zeros; here they are modulated as the prompt is.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..attention.accumulate import RunningMeans
from ..attention.ending import PassEnded
from ..attention.resize import resize_maps
from ..attention.selection import Grid
from ..attention.words import spelling
from ..backbone import AttentionKind, AttentionSite, Backbone, Placeholders
from ..messages import shown
from ..schedule import timestep_of_noise
from ..steps import OnStep


@dataclass(frozen=True, eq=False)
class ConceptCall:
    """The outputs of one attention layer beside which concepts ran.

    Attributes:
        site: the layer.
        picture: (B, h*w, D), o_x.
        concepts: (B, C, D), o_c of every row of the concepts.
        grid: (h, w).
        conditional: for each of the B rows, whether it belongs to the positive conditioning.
    """

    site: AttentionSite
    picture: Tensor
    concepts: Tensor
    grid: Grid
    conditional: tuple[bool, ...]


ConceptTap = Callable[[ConceptCall], None]


@dataclass(frozen=True, eq=False)
class ConceptRows:
    """Rows of text for concepts.

    Attributes:
        rows: (C, D), as the text encoders give them.
        counts: how many of the C rows each concept has, in order.
    """

    rows: Tensor
    counts: tuple[int, ...]


class ConceptBackbone(Backbone, Protocol):
    """A backbone beside whose text concepts can run."""

    def default_sites(self, view: AttentionKind = "cross") -> tuple[AttentionSite, ...]:
        """The layers that are read unless others are asked for: for what text reaches in the picture, ``cross``, or for
        what the picture's rows read of each other, ``self``."""
        ...

    def tap_concepts(
        self, tap: ConceptTap, concepts: ConceptRows, sites: Sequence[AttentionSite]
    ) -> AbstractContextManager[None]:
        """Within the context concepts run beside the text of every pass, and ``tap`` is called beside the sites.

        What the model predicts stays the same up to rounding. Raises ``ValueError`` for models in which text does not
        run beside the picture, saying which do.
        """
        ...


@dataclass(frozen=True)
class ConceptSettings:
    """How concepts are read in a picture.

    Attributes:
        noise: share of noise in the picture, 0..1; the paper's middle of four steps is 0.5.
        draws: passes with other noise, whose maps are averaged.
        temperature: what scores are divided by before the softmax.
    """

    noise: float = 0.5
    draws: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1 or self.draws < 1 or not self.temperature > 0:
            raise ValueError(
                f"noise lies in 0..1, draws is 1 or more and temperature above 0; got {self.noise:g}, {self.draws} and "
                f"{self.temperature:g}"
            )


@torch.no_grad()
def concept_heatmaps(
    backbone: ConceptBackbone,
    latent: Tensor,
    text: str,
    concepts: Sequence[str],
    settings: ConceptSettings | None = None,
    *,
    placeholders: Placeholders | None = None,
    sites: Sequence[AttentionSite] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Maps of concepts in a picture.

    Args:
        backbone: needs its text encoder and denoiser.
        latent: (1, C, h, w) of the picture, as :meth:`Backbone.encode_image` gives it.
        text: the prompt meanwhile; may be empty.
        concepts: N words or phrases, those that only stand for the rest of the picture among them.
        settings: None takes the paper's.
        placeholders: learnt tokens that may stand in text and concepts.
        sites: the layers that are read, in the order they run; None leaves the choice to the model's family.
        seed: random seed of the noise.
        on_step: called with passes done and passes in all.

    Returns:
        (N, h, w) on the finest grid; of each cell the N values sum to one.

    Raises ``ValueError`` for fewer than two concepts, a concept without letters, and as ``tap_concepts`` does.
    """
    settings = settings or ConceptSettings()
    schedule = backbone.schedule
    chosen = backbone.default_sites() if sites is None else tuple(sites)
    rows = concept_rows(backbone, concepts, placeholders)
    conditioning = backbone.encode_text([text], placeholders)
    timestep = timestep_of_noise(schedule, settings.noise).to(latent.device)
    generator, recorder = torch.Generator().manual_seed(seed), ConceptRecorder(rows.counts, settings.temperature)

    def tap(call: ConceptCall) -> None:
        recorder.tap(call)
        if call.site == chosen[-1]:  # nothing behind it is read
            raise PassEnded

    with backbone.tap_concepts(tap, rows, chosen):
        for done in range(settings.draws):
            if on_step is not None:
                on_step(done, settings.draws)
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            with suppress(PassEnded):
                backbone.predict_noise(schedule.add_noise(latent, noise, timestep), timestep, conditioning)
    if on_step is not None:
        on_step(settings.draws, settings.draws)
    return recorder.maps()[:, 0]


def concept_rows(backbone: Backbone, concepts: Sequence[str], placeholders: Placeholders | None = None) -> ConceptRows:
    """The rows of each concept's own tokens, each concept encoded by itself.

    Raises ``ValueError`` for fewer than two concepts: maps compare them with one another; and for one without a word.
    """
    if len(concepts) < 2:
        raise ValueError(
            f"{len(concepts)} concept{'s' * (len(concepts) != 1)} given: maps compare concepts with one another, so "
            "name at least two, or one and a word for the background"
        )
    found = [_rows_of(backbone, concept, placeholders) for concept in concepts]
    return ConceptRows(torch.cat(found), tuple(len(rows) for rows in found))


def _rows_of(backbone: Backbone, concept: str, placeholders: Placeholders | None) -> Tensor:
    """(n, D)."""
    read = backbone.tokenize(concept, placeholders)
    if not spelling(read).strip():
        raise ValueError(f"the concept {shown(concept)} has no word; write what to look for")
    context = backbone.encode_text([concept], placeholders).context[0]  # (L, D)
    return context[sorted({token.position for token in read.tokens})]


class ConceptRecorder:
    """Averages maps (3) over layers and passes, of rows of the positive conditioning alone.

    Args:
        counts: how many rows each concept has, in order.
        temperature: what scores are divided by before the softmax.
    """

    def __init__(self, counts: Sequence[int], temperature: float = 1.0) -> None:
        self._counts, self._temperature = tuple(counts), temperature
        self._means = RunningMeans()

    @torch.no_grad()
    def tap(self, call: ConceptCall) -> None:
        """Add one layer."""
        rows = torch.tensor(call.conditional, device=call.picture.device)
        if bool(rows.any()):
            scores = concept_scores(call.picture[rows], call.concepts[rows], self._counts)
            maps = (scores / self._temperature).softmax(1).unflatten(2, call.grid)  # (B, N, h, w)
            self._means.add(call.grid, maps, call.site.name)

    def maps(self) -> Tensor:
        """(N, B, h, w) on the finest grid, all grids counting by their layers.

        Raises ``ValueError`` when nothing was recorded.
        """
        means, counts = self._means.means(), self._means.counts()
        if not means:
            raise ValueError("no layer was read beside the concepts: nothing ran, or none of the chosen blocks")
        size = next(iter(means))
        total = sum(counts.values())
        parts = [resize_maps(maps, size, "bilinear") * (counts[grid] / total) for grid, maps in means.items()]
        return torch.stack(parts).sum(0).transpose(0, 1)


def concept_scores(picture: Tensor, concepts: Tensor, counts: Sequence[int]) -> Tensor:
    """Scores (2), in float32 whatever the model computes in.

    Args:
        picture: (B, h*w, D).
        concepts: (B, C, D).
        counts: how many of the C rows each of N concepts has.

    Returns:
        (B, N, h*w).
    """
    means = torch.stack([part.float().mean(1) for part in concepts.split(list(counts), dim=1)], dim=1)  # (B, N, D)
    return means @ picture.float().transpose(1, 2)


Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def attend_beside(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, concepts: slice, picture: slice, axis: int = 2
) -> tuple[Tensor, Tensor]:
    """The attention of a block whose rows include concepts (1).

    Args:
        attend: attention of any queries over any keys and values.
        query, key, value: all rows along ``axis``, for instance (B, heads, n, d).
        concepts: where the concepts' rows lie.
        picture: where those of the picture lie.

    Returns:
        What ``attend`` gives for all other rows, which read one another alone, and for the concepts.
    """
    other = [_without(one, concepts, axis) for one in (query, key, value)]
    own, seen = (concepts.start, concepts.stop - concepts.start), (picture.start, picture.stop - picture.start)
    read = [torch.cat([one.narrow(axis, *own), one.narrow(axis, *seen)], axis) for one in (key, value)]
    return attend(*other), attend(query.narrow(axis, *own), *read)


def concept_mask(rows: int, concepts: slice, picture: slice) -> Tensor:
    """(rows, rows) bool, query by key: what :func:`attend_beside` lets each row read."""
    mask = torch.ones(rows, rows, dtype=torch.bool)
    mask[:, concepts] = False
    mask[concepts] = False
    mask[concepts, concepts] = True
    mask[concepts, picture] = True
    return mask


def _without(rows: Tensor, left_out: slice, axis: int) -> Tensor:
    before, after = rows.narrow(axis, 0, left_out.start), rows.shape[axis] - left_out.stop
    return torch.cat([before, rows.narrow(axis, left_out.stop, after)], axis)
