"""DisenDiff: tokens beside the words for their kinds, kept apart by the attention of these words. No masks are used.

Zhang et al., "Attention Calibration for Disentangled Text-to-Image Personalization", CVPR 2024, arXiv 2403.18551.
Each token is bound to the place of its class word, and the class words are driven apart; built on Custom Diffusion:
tokens and the keys and values of cross-attention are trained.

What differs from the release: keys and values change by low rank; every token is initialised (of three, the release
leaves one as it was made); regularisation pictures are drawn by the model, where the release looks for photographs;
class words of several tokens count by the sum of their maps; the start-of-text token is kept as it is instead of only
out of the gradient. The paper shows two and three concepts; with more, all pairs are averaged as for three.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from ...attention.stretch import stretched
from ...settings import setting
from ..engine.method import Method
from ..engine.settings import TuningSettings
from ..engine.task import Task, Training
from ..engine.trainee import Trainee, start_prior, start_trainee
from ..parts.augment import random_view
from ..parts.class_words import check_different, need_classes, phrase, sentence
from ..parts.draws import Draws
from ..parts.map_measures import blurred, soft_iou
from ..parts.prior import Prior


@dataclass(frozen=True, kw_only=True)
class DisenDiffSettings(TuningSettings):
    """How to learn. Defaults are the paper's but for the change of the model; each field's help is in its metadata.

    Raises ``ValueError`` for values outside their range.
    """

    bind_weight: float = setting(1.0, "Weight of binding each token to the attention of its class word.")
    apart_weight: float = setting(1.0, "Weight of separating the attention of class words.")
    blur: bool = setting(True, "Blur attention maps before they are compared.")
    suppression: int = setting(1, "How often the attention of class words is squared, which keeps its peaks.")
    augment: bool = setting(True, "Also train on smaller and larger views of the picture, which the sentence names.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.bind_weight, self.apart_weight, self.suppression) < 0:
            raise ValueError("bind_weight, apart_weight and suppression must be 0 or more")


def instance_loss(
    trainee: Trainee, picture: Tensor, classes: Mapping[str, str], settings: DisenDiffSettings
) -> tuple[Tensor, Tensor]:
    """The squared error of one view of the picture inside what it fills, and ``bind + separate`` of its attention."""
    view = random_view(picture, settings.flip, trainee.generator, settings.augment)
    with torch.no_grad():
        latent = trainee.backbone.encode_image(view.picture).float().clone()  # (1, C, h, w)
    text = sentence([phrase(name, classes) for name in classes], settings.template)
    text = view.prefix + text.removeprefix("a ") if view.prefix else text
    denoised = trainee.denoise(latent, [text], _spots(trainee, text, classes, settings))
    valid = view.valid((latent.shape[-2], latent.shape[-1])).to(latent.device)  # (h, w)
    base = (denoised.error() * valid).sum() / (valid.sum() * latent.shape[1])  # (1, C, h, w) with (h, w)
    return base, attention_loss(denoised.maps, settings) if len(denoised.maps) else base.new_zeros(())


def attention_loss(maps: Tensor, settings: DisenDiffSettings) -> Tensor:
    """``w_bind sum_i [1 - IoU(c_i, m_i)] + w_apart mean_ij IoU(c_i, c_j)`` (section 3.3).

    Args:
        maps: (2N, h, w), the attention of N tokens, then of their N class words.

    Maps are stretched to 0..1 and blurred, those of class words squared as well; in the first sum c_i is a constant.
    """
    smooth = stretched(maps)
    smooth = blurred(smooth) if settings.blur else smooth
    tokens, kinds = smooth.chunk(2)  # (N, h, w) each
    kinds = kinds ** (2**settings.suppression)
    bind = (1 - soft_iou(kinds.detach(), tokens)).sum()  # (N,) to a scalar
    pairs = list(combinations(range(len(kinds)), 2))
    apart = torch.stack([soft_iou(kinds[i], kinds[j]) for i, j in pairs]).mean() if pairs else bind.new_zeros(())
    return settings.bind_weight * bind + settings.apart_weight * apart


def _spots(
    trainee: Trainee, text: str, classes: Mapping[str, str], settings: DisenDiffSettings
) -> list[tuple[int, tuple[int, ...]]]:
    if settings.attention_weight == 0:
        return []
    tokens = [trainee.token(text, name) for name in classes]
    return [(0, at) for at in [*tokens, *(trainee.after_token(text, name, word) for name, word in classes.items())]]


def _prepare(task: Task[DisenDiffSettings], generator: torch.Generator) -> Training:
    settings, pictures = task.settings, [source.picture.clone() for source in task.sources]
    classes = need_classes(task.concepts.names, task.classes, "disendiff")
    check_different(classes, "disendiff")
    latent = task.backbone.encode_image(pictures[0]).float().clone()
    trainee = start_trainee(task, generator, latent, reads=settings, tunes=settings)
    prior = start_prior(task, settings, _prior_texts(list(classes.values()), settings.template), latent)

    def loss_of(step: int) -> Tensor:
        return _step_loss(trainee, pictures, task.draws, classes, prior, settings)

    return trainee.training([trainee.phase(loss_of, settings.loop, settings.adapter_rate)])


def _step_loss(
    trainee: Trainee,
    pictures: Sequence[Tensor],
    draws: Draws,
    classes: Mapping[str, str],
    prior: Prior | None,
    settings: DisenDiffSettings,
) -> Tensor:
    """``L_base + alpha (L_bind + L_s&s)``; L_base is the mean over the picture and, weighted, a prior picture."""
    picture = pictures[draws.choose(len(pictures), trainee.generator)]
    base, attention = instance_loss(trainee, picture, classes, settings)
    if prior is not None:
        base = (base + settings.prior_weight * trainee.prior_loss(prior)) / (1 + settings.prior_weight)
    return base + settings.attention_weight * attention


def _prior_texts(words: Sequence[str], template: str) -> list[str]:
    """The kinds together, as in the training sentence without its tokens."""
    return [sentence([word if index == 0 else f"a {word}" for index, word in enumerate(words)], template)]


METHOD = Method(
    name="disendiff",
    title="DisenDiff",
    help="Learns a token that stands before the class word of each concept, and a change of how the model reads text. "
    "It uses no masks.",
    presets={
        "paper": DisenDiffSettings(
            steps=250, rate=8e-5, adapter_rate=8e-5, template="photo of a {}", prior=200, parts=4
        ),
        "small": DisenDiffSettings(
            steps=200,
            rate=1e-2,
            final_rate=0.1,
            timesteps=(0.2, 0.7),
            adapter_rate=1e-3,
            prior=4,
            prior_steps=12,
            downscale=None,
            augment=False,
        ),
    },
    prepare=_prepare,
    needs=("class_words",),
    note="Class words must differ, because the method distinguishes concepts by them.",
    class_follows_token=True,
    changes_model=True,
)
"""Presets: ``paper`` for 64x64 latents, ``small`` for small latents and few steps."""
