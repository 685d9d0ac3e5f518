"""AttenCraft: tokens and the reading of text, kept apart by masks that the model's attention makes and renews.

"AttenCraft: Attention-guided Disentanglement of Multiple Concepts for Text-to-Image Customization", arXiv 2405.17965
(the form of its release). A step names a random subset of the concepts, draws inside their masks, and asks that each
token's attention, and the start-of-text token's, be distributed like its mask. Every so many steps masks are made
anew with the tokens so far, and taken if they are much like the old ones.

What differs from the release, beside low rank: two of its faults are not there (only the first token got a gradient;
half of the instance loss was unmasked, which ``context`` gives back at 0.5); any number of concepts; masks are renewed
by a look of their own at a low noise level; the softmax over cells has a temperature, since values in 0..1 hardly
differ otherwise; attention is compared on the grid it is read from, where the release doubles it. The adaptive
sampling of the paper's second version is not known to us.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from ...backbone import Backbone
from ...masks.words import WordMasks, WordSettings, look, masks_of
from ...types import Concepts, ConceptTokens, Source
from ..engine.checkpoints import Keeper
from ..engine.settings import OnStep, told
from ..engine.training import Phase, Task, Training, run
from ..engine.tuning import Tuner, TuningSettings, start_prior, start_tuner, training_of, tuning_phase
from ..parts.examples import choose, fit
from ..parts.map_measures import jensen_shannon, pixel_softmax, stretched, structural_similarity
from ..parts.prior import Prior
from ..parts.prompts import placeholder, prompt_of
from ..parts.subsets import SubsetBy, any_subset

HELP = (
    "Tokens, and a change of how text is read, with masks that the model's attention renews while it learns "
    "(AttenCraft). The change belongs to the tokens: use the MODEL output, or save it as a LoRA."
)


@dataclass(frozen=True, kw_only=True)
class AttenCraftSettings(TuningSettings):
    """How to learn. Defaults are the release's but for the change of the model; help is in the fields' metadata.

    Raises ``ValueError`` for values outside their range.
    """

    subsets: SubsetBy = told("subset", "How concepts of a step are drawn: every subset, or every size, alike.")
    context: float = told(0.0, "Share of the loss that looks at the whole picture; 0.5 is what the release computes.")
    temperature: float = told(1.0, "Sharpness of attention when it is compared; low follows its peaks.")
    refresh: int = told(20, "Make masks anew every so many steps; 0: never.")
    alike: float = told(0.8, "How alike (SSIM) new masks must be to the old to be taken.")
    refresh_draws: int = told(1, "Looks that a new mask averages.")
    margin: float = told(0.1, "By how much a token must lead in a cell of a new mask.")
    prior_prompt: str = told("a photo at the beach", "What the prior pictures show.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.context <= 1 or not self.temperature > 0:
            raise ValueError("context must be in 0..1 and temperature above 0")
        if self.refresh < 0:
            raise ValueError(f"refresh must be 0 or more, got {self.refresh}")
        _ = self.word_settings

    @property
    def word_settings(self) -> WordSettings:
        """How masks are made anew: one look, at the layers that training reads."""
        return WordSettings(
            draws=self.refresh_draws,
            template=self.template,
            cross_downscale=self.downscale,
            cross_least_side=self.least_side,
            self_downscale=None if self.downscale is None else max(self.downscale // 2, 1),
            margin=self.margin,
        )


PRESETS: Mapping[str, AttenCraftSettings] = MappingProxyType(
    {
        "paper": AttenCraftSettings(steps=500, rate=1e-4, adapter_rate=1e-4, flip=0.0, attention_weight=1.0, prior=200),
        "lab": AttenCraftSettings(
            steps=200,
            rate=5e-3,
            final_rate=0.1,
            adapter_rate=5e-4,
            flip=0.0,
            attention_weight=0.1,
            temperature=0.1,
            prior=4,
            prior_steps=12,
            downscale=None,
            refresh_draws=4,
        ),
    }
)
"""``paper``: 64x64 latents. ``lab``: small latents and few steps."""


def learn(
    backbone: Backbone,
    picture: Tensor,
    concepts: Concepts,
    settings: AttenCraftSettings | None = None,
    *,
    words: Mapping[str, str] | None = None,
    classes: Mapping[str, str] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
    more: Sequence[Source] = (),
    keeper: Keeper | None = None,
) -> ConceptTokens:
    """Learn one token per concept of one picture, and the change of the model they are used with.

    Masks begin as those of ``concepts``: take them from :func:`..localize.attencraft.localize_words` for the method as
    published. Arguments and errors are those of :func:`.conceptexpress.learn`. The metadata counts ``refreshed`` and
    ``kept`` masks.
    """
    settings = settings or PRESETS["paper"]
    task = Task("attencraft", backbone, picture, concepts, settings, words, classes, seed, on_step, more, keeper)
    return run(task, _prepare)


@dataclass
class Masks:
    """The masks in force, (N + 1, h, w) float in 0..1 on the latent's cells, the background last."""

    now: Tensor
    refreshed: int = 0
    kept: int = 0
    last: int = 0

    def due(self, step: int, every: int) -> bool:
        """Whether it is time for new masks; True once a step, whatever the number of its parts."""
        due = every > 0 and step > self.last and step % every == 0
        self.last = step if due else self.last
        return due

    def renew(self, found: WordMasks, alike: float) -> None:
        """Take new masks if every token has one, and each concept's is alike to its old one."""
        fresh = fit(found.masks.float(), (self.now.shape[1], self.now.shape[2]))
        if not found.distinct or structural_similarity(fresh[:-1], self.now[:-1].cpu()).min() < alike:
            self.kept += 1
            return
        self.now, self.refreshed = fresh.to(self.now.device), self.refreshed + 1


@dataclass(frozen=True)
class Sheet:
    """A picture's latent (1, C, h, w) and its masks."""

    latent: Tensor
    masks: Masks


def instance_loss(
    tuner: Tuner, latent: Tensor, masks: Tensor, members: tuple[int, ...], settings: AttenCraftSettings
) -> Tensor:
    """The loss of a sentence that names these concepts, for masks (N + 1, h, w).

    ``L_diff`` sums squared errors inside the union of the masks over channels and averages them over cells (so it is as
    many times a plain mean as there are channels); ``L_attn`` is the mean Jensen-Shannon divergence of tokens and
    background.
    """
    names = tuner.bank.names
    text = prompt_of(names, members, settings.template).text
    start = tuner.backbone.tokenize(text, tuner.bank.placeholders()).start
    tokens = [(0, tuner.token(text, names[index])) for index in members]
    spots = [*tokens, (0, (0 if start is None else start,))] if settings.attention_weight else []
    denoised = tuner.denoise(latent, [text], spots)
    inside = masks[list(members)].amax(0)
    weights = (1 - settings.context) * inside.square() + settings.context
    loss = (denoised.error().sum(1) * weights).mean()
    if not spots:
        return loss
    wanted = fit(masks[[*members, len(masks) - 1]], tuner.grid)
    divergence = attention_divergence(denoised.maps, wanted, settings.temperature)
    return loss + settings.attention_weight * divergence.mean()


def attention_divergence(maps: Tensor, masks: Tensor, temperature: float = 1.0) -> Tensor:
    """(K,): how differently attention (K, h, w), stretched to 0..1, and masks (K, h, w) are distributed over cells."""
    return jensen_shannon(pixel_softmax(stretched(maps), temperature), pixel_softmax(masks, temperature))


def _prepare(task: Task[AttenCraftSettings], generator: torch.Generator) -> Training:
    settings = task.settings
    sheets = [_start_sheet(task.backbone, source) for source in task.sources]
    tuner = start_tuner(task, settings, sheets[0].latent, generator)
    prior = start_prior(task, settings, [settings.prior_prompt], sheets[0].latent)
    phase = Phase((), lambda step: _step_loss(step, tuner, sheets, prior, settings), settings.loop)
    training = training_of(tuner, [tuning_phase(tuner, phase, settings)])
    return replace(
        training,
        notes=lambda: _notes(sheets),
        hidden=lambda: _hidden(sheets),
        restore=lambda _, hidden: _restore(sheets, hidden),
    )


def _hidden(sheets: Sequence[Sheet]) -> dict[str, Tensor]:
    now = {f"{index}.now": sheet.masks.now for index, sheet in enumerate(sheets)}
    counts = [torch.tensor([one.masks.refreshed, one.masks.kept, one.masks.last]) for one in sheets]
    return now | {f"{index}.counts": numbers for index, numbers in enumerate(counts)}


def _restore(sheets: Sequence[Sheet], hidden: Mapping[str, Tensor]) -> None:
    for index, sheet in enumerate(sheets):
        masks = sheet.masks
        masks.now = hidden[f"{index}.now"].to(masks.now)
        masks.refreshed, masks.kept, masks.last = hidden[f"{index}.counts"].tolist()


def _start_sheet(backbone: Backbone, source: Source) -> Sheet:
    latent = backbone.encode_image(source.picture.clone()).float().clone()
    given = source.concepts.masks
    whole = torch.cat([given, ~given.any(0, keepdim=True)]).float()
    return Sheet(latent, Masks(fit(whole, (latent.shape[-2], latent.shape[-1])).to(latent.device)))


def _notes(sheets: Sequence[Sheet]) -> dict[str, str]:
    return {name: str(sum(getattr(sheet.masks, name) for sheet in sheets)) for name in ("refreshed", "kept")}


def _step_loss(
    step: int, tuner: Tuner, sheets: Sequence[Sheet], prior: Prior | None, settings: AttenCraftSettings
) -> Tensor:
    for sheet in sheets:
        if sheet.masks.due(step, settings.refresh):
            sheet.masks.renew(_found(tuner, sheet.latent, settings), settings.alike)
    chosen = sheets[choose(len(sheets), tuner.generator)]
    latent, masks = chosen.latent, chosen.masks
    members = any_subset(len(tuner.bank.names), tuner.generator, settings.subsets)
    loss = instance_loss(tuner, latent, masks.now, members, settings)
    return loss if prior is None else loss + settings.prior_weight * tuner.prior_loss(prior)


def _found(tuner: Tuner, latent: Tensor, settings: AttenCraftSettings) -> WordMasks:
    """Masks by the tokens, and with the model, as they are now."""
    tokens, how = [placeholder(name) for name in tuner.bank.names], settings.word_settings
    with tuner.adapter.in_force(tuner.backbone):
        sight = look(tuner.backbone, latent, tokens, how, tuner.generator, tuner.bank.placeholders())
    return masks_of(sight, how)
