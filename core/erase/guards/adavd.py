"""AdaVD (arXiv 2412.06143, CVPR 2025): in every cross-attention, the values of the prompt's tokens lose their component
along the concept's value, the more the nearer they are to it: ``v <- v - s(cos(v, c)) <v, c> / <c, c> c``, with
``s(x) = 2 / (1 + exp(-slope (x - threshold)))``.

``c`` is the value of the concept's last token, at every position, as in the authors' release. Ours: the token stands in
the sentence that all guards read ("a photo of ..."), where the release encodes the bare name; and the start tokens of
all chunks of a long prompt are left alone, not only the first.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...attention.probabilities import attend
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
        "Whether a token of the prompt is compared with every token of the concept's name, and loses the component "
        "along the one that is most alike; false compares with the last one, as published.",
    )

    @property
    def cost(self) -> str:
        return "one pass of the model for each concept and each preserved text, once a picture"


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
        return attend(call.query, call.key, value, call.scale, call.bias)

    @cached_property
    def _shift(self) -> tuple[float, float]:
        return self.task.settings.slope, self.task.settings.threshold

    def _without(self, value: Tensor, concept: Tensor) -> Tensor:
        """Values (B, heads, L, d) without their component along those of a concept (1, heads, n, d)."""
        rows = value.transpose(1, 2).flatten(2)  # (B, L, heads * d)
        own = concept.transpose(1, 2).flatten(2)[0]  # (n, heads * d)
        alike = normalize(rows, dim=-1) @ normalize(own, dim=-1).mT  # (B, L, n), cosines
        cosine, nearest = alike.max(-1)  # (B, L)
        own = own[nearest]  # (B, L, heads * d)
        slope, threshold = self._shift
        weight = 2 * torch.sigmoid(slope * (cosine - threshold))
        weight[:, self._starts] = 0
        part = (rows * own).sum(-1) / own.square().sum(-1).clamp_min(1e-12)  # (B, L)
        changed = rows - (self.task.strength * weight * part).unsqueeze(-1) * own
        return changed.unflatten(-1, (value.shape[1], -1)).transpose(1, 2)

    @cached_property
    def _starts(self) -> slice:
        """Where start tokens stand, which say nothing of the text: one in each chunk of a long prompt."""
        tokens = self.task.concepts[0].tokens
        return slice(0) if tokens.start is None else slice(tokens.start, None, tokens.length)

    def _read(self, latent: Tensor, level: Tensor) -> dict[str, list[Tensor]]:
        """The values (1, heads, n, d) of each concept's tokens in every layer, by site, without their component in the
        span of those of preserved texts; they depend on the text alone."""
        kept = len(self.task.preserve)
        found: dict[str, list[Tensor]] = {}
        for concept in (*self.task.preserve, *self.task.concepts):
            places = list(concept.places if self.task.settings.everywhere else concept.places[-1:])

            def keep(inputs: AttentionInputs, places: list[int] = places) -> None:
                if inputs.call.site.kind == "cross":
                    found.setdefault(inputs.call.site.name, []).append(inputs.value[:1, :, places].clone())

            with self.task.backbone.edit_attention(keep):
                slope_of(self.task.backbone, concept.conditioning, latent, level)
        return {name: _basis(values)[kept:] for name, values in found.items()}


def _basis(values: list[Tensor]) -> list[Tensor]:
    """Values (1, heads, n, d) of several concepts, each without its component in the span of those before it."""
    basis: list[Tensor] = []
    for value in values:
        rows = value.transpose(1, 2).flatten(2)[0]  # (n, heads * d)
        if basis:
            before = torch.cat([other.transpose(1, 2).flatten(2)[0] for other in basis]).float()
            span = torch.linalg.qr(before.mT).Q  # (heads * d, m)
            rows = rows - (rows.float() @ span @ span.mT).to(rows)
        basis.append(rows[None].unflatten(-1, (value.shape[1], -1)).transpose(1, 2))
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
