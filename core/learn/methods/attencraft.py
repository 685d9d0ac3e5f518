"""AttenCraft: tokens and the reading of text, kept apart by masks that the model's attention makes and renews.

"AttenCraft: Attention-guided Disentanglement of Multiple Concepts for Text-to-Image Customization", arXiv 2405.17965
(the form of its release). A step names a random subset of the concepts, draws inside their masks, and asks that each
token's attention, and the start-of-text token's, be distributed like its mask. Every so many steps masks are made
anew with the tokens so far, and taken if they are much like the old ones.

What differs from the release, beside low rank: two of its faults are not there (only the first token got a gradient;
half of the instance loss was unmasked, which ``context`` gives back at 0.5); any number of concepts; masks are renewed
by a look of their own at a low noise level; the softmax over cells has a temperature, since values in 0..1 hardly
differ otherwise; attention is compared on the grid it is read from, where the release doubles it; new masks are
compared with the old ones on the latent's grid, which takes more of them; pictures are not mirrored (``flip``), since
their masks would have to be. The adaptive sampling of the paper's second version is not known to us.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.stretch import stretched
from ...backbone import Backbone
from ...masks.words import WordMasks, WordSettings, masks_from_attention, read_word_attention
from ...settings import setting
from ...types import Source
from ..engine.method import Method
from ..engine.settings import TuningSettings
from ..engine.task import Task, Training
from ..engine.trainee import Trainee, start_prior, start_trainee
from ..parts.draws import Draws
from ..parts.examples import fit
from ..parts.map_measures import jensen_shannon, pixel_softmax, structural_similarity
from ..parts.prior import Prior
from ..parts.prompts import placeholder, prompt_of
from ..parts.subsets import SubsetBy, any_subset


@dataclass(frozen=True, kw_only=True)
class AttenCraftSettings(TuningSettings):
    """How to learn. Defaults are the release's but for the change of the model; help is in the fields' metadata.

    Raises ``ValueError`` for values outside their range.
    """

    subsets: SubsetBy = setting("subset", "Concepts of a step: each subset is equally likely, or each size.")
    context: float = setting(0.0, "Share of the loss that counts the whole picture; 0.5 is what the release computes.")
    temperature: float = setting(1.0, "Softmax temperature of compared maps; a low one follows their peaks.")
    refresh: int = setting(20, "Refresh masks every this many steps; 0 never does.")
    min_mask_ssim: float = setting(0.8, "Reject a refreshed mask whose SSIM to the old one is lower.")
    refresh_draws: int = setting(1, "Number of noisy passes whose attention a refreshed mask averages.")
    margin: float = setting(0.1, "Lead that a token needs in a cell of a refreshed mask, of 1.")
    prior_prompt: str = setting("a photo at the beach", "Prompt of the prior pictures.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.context <= 1 or not self.temperature > 0:
            raise ValueError("context must be in 0..1 and temperature above 0")
        if self.refresh < 0:
            raise ValueError(f"refresh must be 0 or more, got {self.refresh}")
        _ = self.word_settings

    @property
    def cost(self) -> str:
        renewed = (self.steps - 1) // self.refresh * self.refresh_draws if self.refresh else 0
        return self._cost(others=f"{renewed} to refresh masks" if renewed else "")

    @property
    def word_settings(self) -> WordSettings:
        """How masks are refreshed, from the layers that training reads."""
        return WordSettings(
            draws=self.refresh_draws,
            template=self.template,
            cross_downscale=self.downscale,
            cross_least_side=self.least_side,
            self_downscale=None if self.downscale is None else max(self.downscale // 2, 1),
            margin=self.margin,
        )


@dataclass(eq=False)
class Masks:
    """The masks in force, (N + 1, h, w) float in 0..1 on the latent's cells, the background last.

    Attributes:
        current: the masks.
        refreshed: how often new masks were taken.
        kept: how often new masks were rejected.
        last: the step of the last attempt.
    """

    current: Tensor
    refreshed: int = 0
    kept: int = 0
    last: int = 0

    def is_due(self, step: int, every: int) -> bool:
        """Whether this step makes new masks; True once a step, whatever the number of its parts."""
        is_due = every > 0 and step > self.last and step % every == 0
        self.last = step if is_due else self.last
        return is_due

    def refresh(self, found: WordMasks, min_ssim: float) -> None:
        """Take new masks if every token has one and each concept's has at least this SSIM to its old one."""
        fresh = fit(found.masks.float(), (self.current.shape[1], self.current.shape[2]))  # (N + 1, h, w)
        if not found.distinct or structural_similarity(fresh[:-1], self.current[:-1].cpu()).min() < min_ssim:
            self.kept += 1
            return
        self.current, self.refreshed = fresh.to(self.current.device), self.refreshed + 1


@dataclass(frozen=True, eq=False)
class TrainingPicture:
    """A picture's latent (1, C, h, w) and its masks."""

    latent: Tensor
    masks: Masks


def instance_loss(
    trainee: Trainee, latent: Tensor, masks: Tensor, members: tuple[int, ...], settings: AttenCraftSettings
) -> Tensor:
    """The loss of a sentence that names these concepts, for masks (N + 1, h, w).

    ``L_diff`` sums squared errors inside the union of the masks over channels and averages them over cells (so it is as
    many times a plain mean as there are channels); ``L_attn`` is the mean Jensen-Shannon divergence of tokens and
    background.
    """
    names = trainee.bank.names
    text = prompt_of(names, members, settings.template).text
    start = trainee.backbone.tokenize(text, trainee.bank.placeholders()).start
    tokens = [(0, trainee.token(text, names[index])) for index in members]
    background = [] if start is None else [(0, (start,))]  # a model without a start token has none for it
    spots = [*tokens, *background] if settings.attention_weight else []
    denoised = trainee.denoise(latent, [text], spots)
    inside = masks[list(members)].amax(0)  # (h, w)
    weights = (1 - settings.context) * inside.square() + settings.context  # (h, w)
    loss = (denoised.error().sum(1) * weights).mean()  # (1, C, h, w) to (1, h, w)
    if not spots:
        return loss
    wanted = fit(masks[[*members, *[len(masks) - 1] * len(background)]], trainee.grid)  # (K, gh, gw)
    divergence = attention_divergence(denoised.maps, wanted, settings.temperature)  # (K,)
    return loss + settings.attention_weight * divergence.mean()


def attention_divergence(maps: Tensor, masks: Tensor, temperature: float = 1.0) -> Tensor:
    """(K,): how differently attention (K, h, w), stretched to 0..1, and masks (K, h, w) are distributed over cells."""
    return jensen_shannon(pixel_softmax(stretched(maps), temperature), pixel_softmax(masks, temperature))


def _prepare(task: Task[AttenCraftSettings], generator: torch.Generator) -> Training:
    settings = task.settings
    pictures = [_start_picture(task.backbone, source) for source in task.sources]
    latent = pictures[0].latent
    trainee = start_trainee(task, generator, latent, reads=settings, tunes=settings)
    prior = start_prior(task, settings, [settings.prior_prompt], latent)

    def loss_of(step: int) -> Tensor:
        return _step_loss(step, trainee, pictures, task.draws, prior, settings)

    return trainee.training(
        [trainee.phase(loss_of, settings.loop, settings.adapter_rate)],
        notes=lambda: _notes(pictures),
        hidden=lambda: _hidden(pictures),
        restore=lambda _, hidden: _restore(pictures, hidden),
    )


def _hidden(pictures: Sequence[TrainingPicture]) -> dict[str, Tensor]:
    now = {f"{index}.now": picture.masks.current for index, picture in enumerate(pictures)}
    counts = [torch.tensor([one.masks.refreshed, one.masks.kept, one.masks.last]) for one in pictures]
    return now | {f"{index}.counts": numbers for index, numbers in enumerate(counts)}


def _restore(pictures: Sequence[TrainingPicture], hidden: Mapping[str, Tensor]) -> None:
    if any(bool((hidden[f"{index}.counts"] < 0).any()) for index in range(len(pictures))):
        raise ValueError("it counts fewer than no masks")
    for index, picture in enumerate(pictures):
        masks = picture.masks
        masks.current = hidden[f"{index}.now"].to(masks.current)
        masks.refreshed, masks.kept, masks.last = hidden[f"{index}.counts"].tolist()


def _start_picture(backbone: Backbone, source: Source) -> TrainingPicture:
    latent = backbone.encode_image(source.picture.clone()).float().clone()
    given = source.concepts.masks
    whole = torch.cat([given, ~given.any(0, keepdim=True)]).float()  # (N + 1, h, w)
    return TrainingPicture(latent, Masks(fit(whole, (latent.shape[-2], latent.shape[-1])).to(latent.device)))


def _notes(pictures: Sequence[TrainingPicture]) -> dict[str, str]:
    return {name: str(sum(getattr(picture.masks, name) for picture in pictures)) for name in ("refreshed", "kept")}


def _step_loss(
    step: int,
    trainee: Trainee,
    pictures: Sequence[TrainingPicture],
    draws: Draws,
    prior: Prior | None,
    settings: AttenCraftSettings,
) -> Tensor:
    for picture in pictures:
        if picture.masks.is_due(step, settings.refresh):
            picture.masks.refresh(_found(trainee, picture.latent, settings), settings.min_mask_ssim)
    chosen = pictures[draws.choose(len(pictures), trainee.generator)]
    latent, masks = chosen.latent, chosen.masks
    members = any_subset(len(trainee.bank.names), trainee.generator, settings.subsets)
    loss = instance_loss(trainee, latent, masks.current, members, settings)
    return loss if prior is None else loss + settings.prior_weight * trainee.prior_loss(prior)


def _found(trainee: Trainee, latent: Tensor, settings: AttenCraftSettings) -> WordMasks:
    """Masks by the tokens, and with the model, as they are now."""
    tokens, how = [placeholder(name) for name in trainee.bank.names], settings.word_settings
    with trainee.adapter.in_force(trainee.backbone):
        attention = read_word_attention(
            trainee.backbone, latent, tokens, how, trainee.generator, trainee.bank.placeholders()
        )
    return masks_from_attention(attention, how)


METHOD = Method(
    name="attencraft",
    title="AttenCraft",
    help="Learns tokens and a change of how the model reads text, with masks that are renewed from the model's "
    "attention during training.",
    presets={
        "paper": AttenCraftSettings(steps=500, rate=1e-4, adapter_rate=1e-4, flip=0.0, attention_weight=1.0, prior=200),
        "small": AttenCraftSettings(
            steps=200,
            rate=5e-3,
            final_rate=0.1,
            timesteps=(0.2, 0.7),
            adapter_rate=1e-3,
            flip=0.0,
            attention_weight=0.1,
            temperature=0.1,
            prior=4,
            prior_steps=12,
            downscale=None,
            refresh_draws=4,
        ),
    },
    prepare=_prepare,
    note="As published, the first masks are those of Localize Words. The metadata counts refreshed and kept masks.",
    changes_model=True,
)
"""Presets: ``paper`` for 64x64 latents, ``small`` for small latents and few steps."""
