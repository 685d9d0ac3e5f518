"""FaR, reconstructed: tokens learnt from composed pictures, each token's attention kept to its own subject.

"FaR: Enhancing Multi-Concept Text-to-Image Diffusion via Concept Fusion and Localized Refinement", arXiv 2504.03292.
**This is a reconstruction.** No code was published and only the abstract and summaries were known to us: that subjects
are cut out, fused with subjects that the model draws of their class into new training pictures (*concept fusion*), and
that a loss keeps attention of each to its region (*localized refinement*). Everything else is ours: sizes, blending,
the two forms of the loss, rates, steps, what is trained. Do not quote results of this file as the paper's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...backbone import Backbone
from ...masks import words as by_words
from ...masks.from_masks import crop
from ...masks.upsample import covered_size, smooth_masks
from ...messages import shown
from ...settings import setting
from ...types import Source
from ..engine.method import Method
from ..engine.settings import TuningSettings
from ..engine.task import Task, Training
from ..engine.trainee import Trainee, start_prior, start_trainee
from ..parts.class_words import phrase, sentence
from ..parts.draws import choose
from ..parts.examples import fit
from ..parts.fusion import Composite, Cutout, FusionSettings, cut_out, eroded, fuse
from ..parts.losses import attention_alignment
from ..parts.map_measures import inside_share
from ..parts.prior import Prior

Form = Literal["mse", "ratio"]


LEAST_CELLS = 16
"""Cells of the latent that every subject of a composed picture shows, at least."""
TRIES = 5
"""Composed pictures that are made in search of one that shows so much."""


@dataclass(frozen=True, kw_only=True)
class FarSettings(TuningSettings):
    """How to learn. None of the defaults is known to be the paper's; help is in the fields' metadata.

    Raises ``ValueError`` for values outside their range.
    """

    form: Form = setting("mse", "Form of the attention loss: mse against the mask, or the ratio of mass inside it.")
    composites: int = setting(64, "Number of composed pictures.")
    plain_share: float = setting(0.3, "Share of steps on the picture itself, 0..1.")
    subjects: int = setting(3, "Largest number of subjects in a composed picture.")
    turn: float = setting(10.0, "Largest rotation of a subject, in degrees.")
    feather: int = setting(2, "Pixels over which a subject's edge fades.")
    erosion: int = setting(2, "Pixels along a subject's edge that the denoising loss leaves out.")
    prior_template: str = setting(
        "a photo of a {}", "Prompt of the prior pictures of a class; {} stands for the class word."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in ("mse", "ratio"):
            raise ValueError(f"form must be mse or ratio, got {shown(self.form)}")
        if not 0 <= self.plain_share <= 1 or self.composites < 1 or min(self.feather, self.erosion) < 0:
            raise ValueError("plain_share must be in 0..1, composites 1 or more, feather and erosion 0 or more")
        _ = self.fusion

    @property
    def cost(self) -> str:
        if not (self.prior and self.prior_weight):
            return self._cost()
        return f"{self._cost()}, and 1 to 4 for each of these; without class words the first number alone"

    @property
    def fusion(self) -> FusionSettings:
        """How pictures are composed."""
        return FusionSettings(max_subjects=self.subjects, turn=self.turn, flip=self.flip)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture to train on.

    Attributes:
        latent: (1, C, h, w).
        text: the sentence that names its subjects.
        masks: (K, H, W) bool, what is visible of each subject.
        judged: (h, w) in 0..1, the cells that the denoising loss counts.
        concepts: for each subject which concept it is, or None.
    """

    latent: Tensor
    text: str
    masks: Tensor
    judged: Tensor
    concepts: tuple[int | None, ...]


def instance_loss(trainee: Trainee, scene: Scene, classes: Mapping[str, str], settings: FarSettings) -> Tensor:
    """``L_diff + lambda L_loc``: the mean squared error on the subjects, and attention of every concept's token and
    class word, added up, against the masks."""
    names = trainee.bank.names
    known = [(place, names[concept]) for place, concept in enumerate(scene.concepts) if concept is not None]
    spots = (
        [(0, _positions(trainee, scene.text, name, classes)) for _, name in known] if settings.attention_weight else []
    )
    denoised = trainee.denoise(scene.latent, [scene.text], spots)
    weights = scene.judged[None, None].expand_as(denoised.target)  # (1, C, h, w)
    loss = (denoised.error() * weights).sum() / weights.sum().clamp_min(1e-6)
    if not spots:
        return loss
    masks = fit(scene.masks.float(), trainee.grid).to(denoised.maps.device)  # (J, gh, gw)
    own = torch.tensor([place for place, _ in known], device=masks.device)  # (K,)
    return loss + settings.attention_weight * localized(denoised.maps, masks, own, settings.form).sum()


def localized(maps: Tensor, masks: Tensor, own: Tensor, form: Form = "mse") -> Tensor:
    """How far the attention of K tokens strays from their subjects, (K,).

    ``mse``: the mean of ``(M_i - A_i / max A_i)^2``; ``ratio``: the share of mass outside the own subject plus the
    shares inside each of the others.

    Args:
        maps: (K, h, w) attention.
        masks: (J, h, w) in 0..1, of all subjects.
        own: (K,) long, which of them each token belongs to.
    """
    if form == "mse":
        return attention_alignment(maps, masks[own], "mse")
    shares = torch.stack([inside_share(maps, mask) for mask in masks], 1)  # (K, J)
    mine = shares.gather(1, own[:, None])[:, 0]  # (K,)
    return 1 - mine + shares.sum(1) - mine


def compose(
    backbone: Backbone,
    cutouts: Sequence[Cutout],
    priors: Sequence[Cutout],
    size: tuple[int, int],
    names: Sequence[str],
    classes: Mapping[str, str],
    settings: FarSettings,
    generator: torch.Generator,
) -> list[Scene]:
    """So many composed pictures, ready for training; those in which a subject is all but hidden are composed anew."""
    scenes: list[Scene] = []
    while len(scenes) < settings.composites:
        composite = _fused(cutouts, priors, size, settings.fusion, generator, backbone.latent_downscale**2)
        scenes.append(_scene(backbone, composite, names, classes, settings))
    return scenes


def _fused(
    cutouts: Sequence[Cutout],
    priors: Sequence[Cutout],
    size: tuple[int, int],
    settings: FusionSettings,
    generator: torch.Generator,
    cell: int,
) -> Composite:
    """A composed picture in which no subject is all but hidden; after some tries one of a single subject. ``cell``:
    pixels of a cell of the latent."""
    for _ in range(TRIES):
        composite = fuse(cutouts, priors, size, settings, generator)
        if composite.masks.sum((1, 2)).min() >= LEAST_CELLS * cell:
            return composite
    chosen = int(torch.randint(len(cutouts), (1,), generator=generator))
    return fuse(cutouts[chosen : chosen + 1], (), size, settings, generator)


def prior_cutouts(backbone: Backbone, prior: Prior | None, words: Sequence[str], feather: int) -> list[Cutout]:
    """The subjects of pictures that the model drew of class words in turn, where its attention separates them."""
    cutouts = []
    for index, latent in enumerate(prior.latents if prior is not None else ()):
        word, settings = words[index % len(words)], by_words.PRESETS[_preset_for(latent)]
        generator = torch.Generator().manual_seed(index)
        attention = by_words.read_word_attention(backbone, latent[None], [word], settings, generator)
        found = by_words.masks_from_attention(attention, settings)
        if found.distinct:
            picture = backbone.decode_latent(latent[None]).cpu()
            mask = smooth_masks(found.masks[:1], (picture.shape[-2], picture.shape[-1]))[0]  # (H, W)
            cutouts.append(cut_out(picture, mask, None, word, feather))
    return cutouts


def _prepare(task: Task[FarSettings], generator: torch.Generator) -> Training:
    settings, backbone, names = task.settings, task.backbone, task.concepts.names
    classes = {name: word.strip() for name, word in (task.classes or {}).items() if word.strip()}
    covered = [_covered(source, backbone.latent_downscale) for source in task.sources]
    cutouts = [
        cut_out(picture, mask, index, classes.get(name, ""), settings.feather)
        for picture, masks in covered
        for index, (name, mask) in enumerate(zip(names, masks, strict=True))
    ]
    own = [_own_scene(backbone, picture, masks, names, classes, settings) for picture, masks in covered]
    like = own[0].latent
    trainee = start_trainee(task, generator, like, reads=settings, tunes=settings)
    words = list(dict.fromkeys(classes.values()))
    texts = [settings.prior_template.replace("{}", word) for word in words]
    prior = start_prior(task, settings, texts, like) if texts else None
    priors = prior_cutouts(backbone, prior, words, settings.feather)
    size = (covered[0][0].shape[-2], covered[0][0].shape[-1])
    scenes = compose(backbone, cutouts, priors, size, names, classes, settings, generator)

    def loss_of(step: int) -> Tensor:
        plain = float(torch.rand(1, generator=generator)) < settings.plain_share
        among = own if plain else scenes
        scene = among[choose(len(among), generator)]
        loss = instance_loss(trainee, scene, classes, settings)
        return loss if prior is None else loss + settings.prior_weight * trainee.prior_loss(prior)

    return trainee.training(
        [trainee.phase(loss_of, settings.loop, settings.adapter_rate)],
        notes=lambda: {"composites": str(len(scenes)), "prior_subjects": str(len(priors))},
    )


def _covered(source: Source, latent_downscale: int) -> tuple[Tensor, Tensor]:
    """The centred part of a picture that a latent covers, and the concepts' masks in its pixels."""
    concepts = source.concepts
    size = covered_size(concepts.picture_size, latent_downscale)
    masks = smooth_masks(concepts.masks.cpu(), concepts.picture_size, concepts.covered)
    top, left = ((side - part) // 2 for side, part in zip(concepts.picture_size, size, strict=True))
    picture = source.picture.cpu()[..., top : top + size[0], left : left + size[1]].clone()
    return picture, crop(masks, size)


def _own_scene(
    backbone: Backbone,
    picture: Tensor,
    masks: Tensor,
    names: Sequence[str],
    classes: Mapping[str, str],
    settings: FarSettings,
) -> Scene:
    subjects = tuple((index, classes.get(name, "")) for index, name in enumerate(names))
    return _scene(backbone, Composite(picture, masks, subjects), names, classes, settings)


@torch.no_grad()
def _scene(
    backbone: Backbone,
    composite: Composite,
    names: Sequence[str],
    classes: Mapping[str, str],
    settings: FarSettings,
) -> Scene:
    latent = backbone.encode_image(composite.picture).float().clone()  # (1, C, h, w)
    inside = eroded(composite.masks, settings.erosion)  # (K, H, W)
    inside = torch.where(inside.any(2).any(1)[:, None, None], inside, composite.masks)  # thin ones are not lost
    judged = fit(inside.any(0, keepdim=True).float(), (latent.shape[-2], latent.shape[-1]))[0].to(latent.device)
    parts = [
        f"a {word}" if concept is None else phrase(names[concept], classes) for concept, word in composite.subjects
    ]
    concepts = tuple(concept for concept, _ in composite.subjects)
    return Scene(latent, sentence(parts, settings.template), composite.masks, judged, concepts)


def _positions(trainee: Trainee, text: str, name: str, classes: Mapping[str, str]) -> tuple[int, ...]:
    """Where a concept's token and the class word behind it stand."""
    token = trainee.token(text, name)
    return (*token, *trainee.after_token(text, name, classes[name])) if name in classes else token


def _preset_for(latent: Tensor) -> str:
    return "paper" if min(latent.shape[-2:]) >= 32 else "small"


METHOD = Method(
    name="far",
    title="FaR",
    help="Composes new pictures of the concepts and of similar things that the model draws, and learns tokens and a "
    "change of how the model reads text from them.",
    presets={
        "paper": FarSettings(steps=1000, adapter_rate=1e-5, prior=200),
        "small": FarSettings(
            steps=200,
            rate=5e-3,
            final_rate=0.1,
            timesteps=(0.2, 0.7),
            adapter_rate=1e-3,
            prior=4,
            prior_steps=12,
            downscale=None,
            composites=32,
            feather=1,
            erosion=1,
        ),
    },
    prepare=_prepare,
    note="This is a reconstruction after the paper's abstract, not the published method. The model draws others of a "
    "kind only for concepts with a class word.",
    class_follows_token=True,
    changes_model=True,
    draws_pictures=False,
)
"""Presets: ``paper``, a reconstruction for 64x64 latents; ``small`` for small latents and few steps."""
