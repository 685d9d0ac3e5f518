"""AdaVD (arXiv 2412.06143, CVPR 2025): in every cross-attention, the values of the prompt's tokens lose their component
along the concept's values, the more the nearer they are to them: ``v <- v - s(cos(v, c)) <v, c> / <c, c> c``, with
``s(x) = 2 / (1 + exp(-slope (x - threshold)))``."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from ...backbone import AttentionInputs, Backbone
from ...settings import setting
from .guard import Guard, GuardRun, GuardSettings, GuardTask, slope_of


@dataclass(frozen=True)
class ValueSettings(GuardSettings):
    """Settings of AdaVD."""

    threshold: float = setting(
        0.93, "Cosine of a value with the concept's above which it is taken for the concept.", least=-1, most=1
    )
    slope: float = setting(100.0, "How sharply the threshold divides.", least=0)
    everywhere: bool = setting(
        False,
        "Whether a token is compared with every token of the concept's text, and loses the component along the one "
        "that is most alike; false compares tokens at the same position, as published.",
    )

    @property
    def cost(self) -> str:
        return "one pass of the model for each concept, once a picture"


@dataclass(eq=False)
class _Run(GuardRun):
    task: GuardTask[ValueSettings]
    edits = True
    _kept: dict[str, list[Tensor]] | None = field(default=None, init=False)
    _acting: bool = field(default=False, init=False)

    def perturbed(self, latent: Tensor, level: Tensor) -> Tensor:
        self._acting = self.task.acts(level)
        if self._kept is None:
            self._kept = self._read(latent[:1], level)
        return latent

    def edit(self, inputs: AttentionInputs) -> Tensor | None:
        call = inputs.call
        concepts = (self._kept or {}).get(call.site.name)
        if not concepts or not self._acting or call.site.kind != "cross":
            return None
        value = inputs.value
        for concept in concepts:
            value = self._without(value, concept.to(value))
        if torch.equal(value, inputs.value):
            return None
        logits = call.query @ call.key.mT * call.scale  # (B, heads, N, L)
        return logits.softmax(-1) @ value

    @cached_property
    def _shift(self) -> tuple[float, float]:
        return self.task.settings.slope, self.task.settings.threshold

    def _without(self, value: Tensor, concept: Tensor) -> Tensor:
        """Values (B, heads, L, d) without their component along those of a concept (1, heads, L', d)."""
        rows = value.transpose(1, 2).flatten(2)  # (B, L, heads * d)
        own = concept.transpose(1, 2).flatten(2)  # (1, L', heads * d)
        if self.task.settings.everywhere:
            alike = torch.nn.functional.normalize(rows, dim=-1) @ torch.nn.functional.normalize(own, dim=-1).mT
            own = own[0][alike[..., 1:].argmax(-1) + 1]  # (B, L, heads * d), the start token aside
        elif rows.shape[1] % own.shape[1] == 0:
            own = own.repeat(1, rows.shape[1] // own.shape[1], 1)  # of a text that was repeated, each copy
        else:
            return value
        cosine = torch.cosine_similarity(rows, own, dim=-1)  # (B, L)
        slope, threshold = self._shift
        weight = 2 * torch.sigmoid(slope * (cosine - threshold))
        weight[:, 0] = 0  # the start token says nothing of the text
        part = (rows * own).sum(-1) / own.square().sum(-1).clamp_min(1e-12)  # (B, L)
        changed = rows - (self.task.strength * weight * part).unsqueeze(-1) * own
        return changed.unflatten(-1, (value.shape[1], -1)).transpose(1, 2)

    def _read(self, latent: Tensor, level: Tensor) -> dict[str, list[Tensor]]:
        """The values of each concept's text in every layer, by site; they depend on the text alone."""
        found: dict[str, list[Tensor]] = {}

        def keep(inputs: AttentionInputs) -> None:
            if inputs.call.site.kind == "cross":
                found.setdefault(inputs.call.site.name, []).append(inputs.value[:1].clone())

        for concept in self.task.concepts:
            with self.task.backbone.edit_attention(keep):
                slope_of(self.task.backbone, concept.conditioning, latent, level)
        return {name: _basis(values) for name, values in found.items()}


def _basis(values: list[Tensor]) -> list[Tensor]:
    """Values (1, heads, L, d) of several concepts, each without its component along those before it."""
    basis: list[Tensor] = []
    for value in values:
        rows = value.transpose(1, 2).flatten(2)  # (1, L, heads * d)
        for other in basis:
            before = other.transpose(1, 2).flatten(2)
            share = (rows * before).sum(-1, keepdim=True) / before.square().sum(-1, keepdim=True).clamp_min(1e-12)
            rows = rows - share * before
        basis.append(rows.unflatten(-1, (value.shape[1], -1)).transpose(1, 2))
    return basis


def check(backbone: Backbone) -> None:
    """Raise ``ValueError`` for a model without cross-attention."""
    if not any(site.kind == "cross" for site in backbone.attention_sites()):
        raise ValueError(
            f"AdaVD changes the values of cross-attention, which this model ({backbone.family}) does not have; use "
            "another method"
        )


METHOD = Guard(
    name="adavd",
    title="AdaVD",
    help="Takes the component along the concept out of the values that cross-attention reads.",
    presets={"paper": ValueSettings(), "small": ValueSettings(threshold=0.7, slope=20.0, everywhere=True)},
    begin=_Run,
    check=check,
)
