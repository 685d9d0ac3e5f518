"""Prompt-to-Prompt: a picture changed by its words, with the layout kept; here also a test of what a heat map says.

Hertz et al., "Prompt-to-Prompt Image Editing with Cross-Attention Control", 2022, arXiv 2208.01626. The picture of a
prompt and the edited one are drawn side by side from the same noise. The edited one takes the attention maps of the
first: those of words that both share (refine), those of a word for the word in its place (replace), each times a factor
(re-weight). If a word of other length takes a word's place, each of its k pieces takes a k-th of the map (section 3.2;
equal shares are those of the authors' code). A word whose heat map is right changes the picture where the map is, and
nowhere else: the paper's local blend, which would keep the rest of the picture in any case, is left out.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain, groupby

import torch
from torch import Tensor

from ..attention.probabilities import attend
from ..attention.resize import mask_on, resize_maps
from ..attention.selection import Grid
from ..attention.stretch import stretched
from ..attention.words import find_word
from ..backbone import AttentionInputs, Backbone, Placeholders, TokenizedText
from ..compose.composer import share_of
from ..compose.composition import within
from ..messages import shown
from ..sampling import ddim
from ..settings import setting

Places = tuple[int, ...]
"""Positions of a prompt."""


@dataclass(frozen=True)
class WordEditSettings:
    """How a picture is edited; each field's help is in its metadata."""

    cross_until: float = setting(0.8, "Share of denoising in which words read where the first picture's words read.")
    self_until: float = setting(0.4, "Share of denoising in which cells read the cells that the first picture's read.")
    self_side: int = setting(16, "Most cells along a side of the layers in which cells do so.")
    threshold: float = setting(0.4, "Share of the strongest attention from which a cell belongs to a changed word.")

    def __post_init__(self) -> None:
        if not (0 <= self.cross_until <= 1 and 0 <= self.self_until <= 1 and 0 < self.threshold <= 1):
            raise ValueError("cross_until and self_until must lie in 0 to 1, threshold above 0 and up to 1")


@dataclass(frozen=True, eq=False)
class WordEdit:
    """An edited picture.

    Attributes:
        before: (1, 3, H, W) in 0..1, of the prompt.
        after: the same, edited.
        region: (H, W) bool, where the changed words are.
        inside: mean change of the picture inside it, 0..1.
        outside: mean change elsewhere.
    """

    before: Tensor
    after: Tensor
    region: Tensor
    inside: float
    outside: float


@dataclass(frozen=True, eq=False)
class Plan:
    """Which attention the edited picture takes.

    Attributes:
        source: (L,) long: for every position of the edited prompt that of the first prompt whose map it takes, -1 for
            its own and for those of ``spread``.
        spread: positions of the first prompt, and as many as there are of the edited one: each of these takes an equal
            share of the sum of those maps.
        factors: (L,) by which the maps are multiplied.
        changed: positions of the edited prompt that are new, or whose factor is not 1.
        removed: positions of the first prompt that have nothing in their place.
    """

    source: Tensor
    spread: tuple[tuple[Places, Places], ...]
    factors: Tensor
    changed: tuple[int, ...]
    removed: tuple[int, ...]

    def taken(self, maps: Tensor) -> Tensor:
        """(heads, N, L): of maps (2, heads, N, L) of both prompts those that the edited picture reads by, without
        factors."""
        source = self.source.to(maps.device)
        taken = torch.where(source >= 0, maps[0][..., source.clamp_min(0)], maps[1])
        for olds, news in self.spread:
            taken[..., list(news)] = maps[0][..., list(olds)].sum(-1, keepdim=True) / len(news)
        return taken


def plan_edit(first: TokenizedText, second: TokenizedText, weights: Mapping[str, float]) -> Plan:
    """Align two prompts word by word.

    Words of both prompts keep their maps. Words in the place of others take the maps of these, word by word if there
    are as many of both, else together; pieces take them one by one if there are as many, else in equal shares (section
    3.2). Added words read for themselves. Start, end and padding go with each other.

    Args:
        first: the prompt of the first picture.
        second: the edited prompt.
        weights: words of the edited prompt to factors.

    Raises ``ValueError`` for a word that is not in it, and if nothing changes.
    """
    source = torch.full((second.length,), -1)
    spread: list[tuple[Places, Places]] = []
    changed, removed = set[int](), set[int]()
    (old_words, olds), (new_words, news) = _words(first), _words(second)
    matcher = SequenceMatcher(None, old_words, new_words, autojunk=False)
    for kind, start, end, begin, stop in matcher.get_opcodes():
        if kind in ("equal", "replace"):
            for old, new in _in_place(olds[start:end], news[begin:stop]):
                if len(old) == len(new):
                    source[list(new)] = torch.tensor(old)
                else:
                    spread.append((old, new))
        if kind != "equal":
            changed |= set(chain(*news[begin:stop]))
        if kind == "delete":
            removed |= set(chain(*olds[start:end]))
    if second.start is not None and first.start is not None:
        source[second.start] = first.start
    for place, taken in _beside_tokens(first, second):
        source[place] = taken
    factors = torch.ones(second.length)
    for word, factor in weights.items():
        places = [place for run in find_word(second, word) for place in run]
        factors[places] = factor
        changed |= set(places) if factor != 1 else set()
    if not changed and not removed:
        raise ValueError("nothing changes: edit the prompt, or give a word another weight than 1")
    return Plan(source, tuple(spread), factors, tuple(sorted(changed)), tuple(sorted(removed)))


def _words(text: TokenizedText) -> tuple[list[str], list[Places]]:
    """The written words of a text in order, and the positions of each."""
    words = [list(tokens) for _, tokens in groupby(text.tokens, lambda token: (token.reading, token.word))]
    places = [tuple(token.position for token in word) for word in words]
    return ["".join(token.text for token in word) for word in words], places


def _in_place(olds: Sequence[Places], news: Sequence[Places]) -> Iterator[tuple[Places, Places]]:
    """Words and those in their place: one by one if there are as many of both, else all together."""
    if len(olds) == len(news):
        yield from zip(olds, news, strict=True)
    else:
        yield tuple(chain(*olds)), tuple(chain(*news))


def _beside_tokens(first: TokenizedText, second: TokenizedText) -> Iterator[tuple[int, int]]:
    """End tokens, padding and the start tokens of further chunks of the second text, and what goes with each in the
    first: as far behind as many tokens."""
    olds, news = (sorted({token.position for token in text.tokens}) for text in (first, second))
    for place in range(second.length):
        before = bisect_left(news, place)
        if place in news or place == second.start:
            continue
        if before == len(news):
            last, reached = (olds[-1] if olds else first.end - 1), (news[-1] if news else second.end - 1)
            yield place, min(last + place - reached, first.length - 1)
        elif before and before <= len(olds):
            yield place, min(olds[before - 1] + place - news[before - 1], first.length - 1)


@torch.no_grad()
def edit_by_words(
    backbone: Backbone,
    prompt: str,
    edited: str,
    weights: Mapping[str, float],
    settings: WordEditSettings,
    *,
    negative: str = "",
    latent_size: tuple[int, int],
    steps: int = 20,
    guidance: float = 4.0,
    seed: int = 0,
    placeholders: Placeholders | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> WordEdit:
    """Draw a prompt and its edited version from the same noise.

    Args:
        backbone: the model, with layers of cross-attention.
        prompt: of the first picture.
        edited: of the second; the same where only weights change.
        weights: words of the edited prompt to factors; 0 takes a word's attention away.
        settings: how.
        negative: what guidance leads away from.
        latent_size: (h, w).
        steps: of the sampler, each with two rows more than one picture has.
        guidance: of the sampler.
        seed: of the noise.
        placeholders: learnt tokens that the texts name.
        on_step: see :func:`~..sampling.ddim`.

    Raises ``ValueError`` for a model without cross-attention, and as :func:`plan_edit` does.
    """
    if not any(site.kind == "cross" and site.stage is not None for site in backbone.attention_sites()):
        raise ValueError(
            "words edit pictures of UNets with cross-attention, such as Stable Diffusion; this model "
            f"({backbone.family}) is none"
        )
    first, second = (backbone.tokenize(text, placeholders) for text in (prompt, edited))
    if first.length != second.length:
        raise ValueError(f"{shown(prompt)} and {shown(edited)} are encoded to different lengths; shorten the longer")
    editor = _Editor(plan_edit(first, second, weights), settings, backbone.schedule.steps, latent_size)
    latent = ddim(
        backbone,
        backbone.encode_text([prompt, edited], placeholders),
        backbone.encode_text([negative], placeholders),
        latent_size,
        channels=backbone.latent_channels,
        steps=steps,
        guidance=guidance,
        seed=[seed, seed],
        on_step=on_step,
        edit=editor,
    )
    before, after = backbone.decode_latent(latent).clamp(0, 1).split(1)
    region = editor.region((before.shape[-2], before.shape[-1]))
    return WordEdit(before, after, region, *change_in(before, after, region.float()))


def change_in(before: Tensor, after: Tensor, mask: Tensor) -> tuple[float, float]:
    """The mean change from one picture to another where a mask is, and elsewhere.

    Args:
        before: (1, 3, H, W) in 0..1.
        after: the same.
        mask: (h, w) in 0..1, of any size; a soft one weighs the pixels.

    Returns:
        both in 0..1; 0 for a part without pixels.
    """
    change = (after - before).abs().mean((0, 1)).cpu()  # (H, W)
    weight = mask_on(mask.cpu(), (change.shape[-2], change.shape[-1]))
    parts = (weight, 1 - weight)
    inside, outside = (float((change * part).sum() / part.sum()) if float(part.sum()) > 0 else 0.0 for part in parts)
    return inside, outside


class _Editor:
    """The edit of attention of one sampling run: row 0 is the first picture, row 1 the edited one."""

    def __init__(self, plan: Plan, settings: WordEditSettings, steps: int, size: Grid) -> None:
        self._plan, self._settings, self._share, self._size = plan, settings, share_of(steps), size
        self._heat = torch.zeros(size)

    def __call__(self, inputs: AttentionInputs) -> Tensor | None:
        call = inputs.call
        if not inputs.conditional:
            return None
        done = self._share(call.timestep)
        if call.site.kind == "cross":
            return self._cross(inputs, within(done, 0, self._settings.cross_until))
        taking = call.site.kind == "self" and within(done, 0, self._settings.self_until)
        if taking and max(call.grid) <= self._settings.self_side:
            query, key = (torch.stack([part[0], part[0]]) for part in (call.query, call.key))
            return attend(query, key, inputs.value, call.scale)
        return None

    def region(self, size: Grid) -> Tensor:
        """(H, W) bool: where the changed words were read."""
        heat = resize_maps(stretched(self._heat[None]), size, "bilinear")[0]
        return heat >= self._settings.threshold

    def _cross(self, inputs: AttentionInputs, taking: bool) -> Tensor:
        call, plan = inputs.call, self._plan
        maps = (call.query.float() * call.scale @ call.key.float().mT).softmax(-1)  # (2, heads, N, L)
        taken = plan.taken(maps)  # (heads, N, L)
        read = taken if taking else maps[1]
        own = read * plan.factors.to(maps)
        self._note(maps[0], read, call.grid)
        return torch.stack([maps[0], own]).to(inputs.value.dtype) @ inputs.value

    def _note(self, first: Tensor, second: Tensor, grid: Grid) -> None:
        """Add where the changed words are read, by the maps (heads, N, L) that the second picture has. Words without
        one in their place are read in the first."""
        plan = self._plan
        read = torch.cat([second[..., list(plan.changed)], first[..., list(plan.removed)]], -1)  # (heads, N, words)
        heat = read.sum(-1).mean(0)  # (N,)
        self._heat += resize_maps(heat.view(1, *grid).cpu(), self._size, "bilinear")[0]
