"""Low-rank changes of the model that act in the region of one concept alone.

LoRA-Composer (Yang et al., arXiv 2403.11627), concept injection: ``K_n = W_n^K c_n`` and ``V_n = W_n^V c_n`` are keys
and values of region n's own text c_n under its own LoRA, ``W_n = W + up @ down``. Other texts keep ``W``, and no weight
of the model is written to. Changes of queries, of self-attention and of the projections behind the heads act in the
region's own cells (:func:`under`). Layers beside attention stand in :mod:`.layers`, and so do all layers of
transformers.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs, Backbone, EditedOutput, TextChanges, TextWeight
from ...files import kohya_key
from ...messages import listed
from ...types import Change, LowRank
from ...weight_changes import LORA_PAIRS, low_rank
from .layers import Layer, together

SiteRole = tuple[str, str]
"""An attention layer, and the projection of it that is changed: one of :data:`ROLES`."""

Changes = Mapping[SiteRole, LowRank]
ROLES = ("query", "key", "value", "out")


def entries(backbone: Backbone) -> dict[str, SiteRole]:
    """The name of each projection of a UNet's attention layers, and the layer that it belongs to; none for models whose
    text and picture share their layers."""
    sites = backbone.attention_sites()
    if any(site.stage is None for site in sites):
        return {}
    weights = backbone.attention_weights()
    return {weight.name: (sites[number // len(ROLES)].name, weight.role) for number, weight in enumerate(weights)}


@dataclass(frozen=True, eq=False)
class Adapter:
    """What of a LoRA file acts in one region.

    Attributes:
        changes: of attention, by the layers that they act in.
        text: changes of the text encoders, under which the region's own text is encoded.
        layers: changes of further layers, by their names in the host.
        left_out: what else the file changes, in words for people; empty for nothing.
    """

    changes: Changes
    text: TextChanges = field(default_factory=dict)
    layers: Mapping[str, LowRank] = field(default_factory=dict)
    left_out: str = ""


def read_adapter(
    backbone: Backbone,
    tensors: Mapping[str, Tensor],
    strength: float,
    named: str,
    layers: Mapping[str, Layer] | None = None,
) -> Adapter:
    """The part of a LoRA file that can be kept to a region: its changes of attention layers, of other layers that
    compute each position for itself, and of the text encoders that encode the region's text. What else it changes is
    left out and named.

    Args:
        backbone: the model.
        tensors: of a file that Save Adapter as LoRA wrote, or another of two factors for each weight.
        strength: factor on it.
        named: the file's name, for messages.
        layers: the layers of the model by how files call them; None knows the attention layers alone, by kohya's names.

    Raises ``ValueError`` for a file without such changes, and for factors that do not fit.
    """
    targets, acting = _Targets.of(backbone, layers or {}), set[str]()
    found: dict[SiteRole, LowRank] = {}
    text: dict[str, dict[str, Change]] = {}
    further: dict[str, LowRank] = {}
    for base, pair in sorted(_pairs(tensors).items()):
        meant = targets.meant(base)
        if meant is None:
            continue
        name, shape = meant
        change = low_rank(*pair.factors, strength * pair.scale, pair.middle)
        if change.shape != shape:
            raise ValueError(f"{named} was made for another model: {name} is {shape} here, {change.shape} there")
        if base in targets.attention:
            found[targets.places[name]] = change
        elif base in targets.text:
            text.setdefault(targets.text[base].encoder, {})[name] = change
        else:
            whole = targets.layers[base].whole(change)
            further[name] = together(further[name], whole) if name in further else whole
        acting.add(base)
    if not acting:
        raise ValueError(
            f"{named} changes no layer of this model and no text encoder that can be kept to a region "
            f"({listed(sorted(tensors), 2)}): connect the model that the file was made for, or load the file with a "
            "LoRA loader, for the whole picture"
        )
    others = {_base_of(key, acting) for key in tensors}
    left_out = _left_out(others - acting, named)
    return Adapter(found, text, further, left_out) if strength else Adapter({}, left_out=left_out)


@dataclass(frozen=True, eq=False)
class _Targets:
    """The weights of a model that a LoRA file may change.

    Attributes:
        places: attention weight to the layer and the projection that it is.
        shapes: of attention weights.
        attention: how files begin the keys of an attention weight, to its name.
        text: likewise, to the weight of a text encoder.
        layers: likewise, to any layer that the host knows.
    """

    places: Mapping[str, SiteRole]
    shapes: Mapping[str, tuple[int, int]]
    attention: Mapping[str, str]
    text: Mapping[str, TextWeight]
    layers: Mapping[str, Layer]

    @classmethod
    def of(cls, backbone: Backbone, layers: Mapping[str, Layer]) -> "_Targets":
        """Those of a model."""
        places = entries(backbone)
        known = {kohya_key(name, backbone.family): name for name in places}
        known |= {base: layer.attention for base, layer in layers.items() if layer.attention in places}
        shapes = {weight.name: weight.shape for weight in backbone.attention_weights()}
        return cls(places, shapes, known, text_entries(backbone), layers)

    def meant(self, base: str) -> tuple[str, tuple[int, int]] | None:
        """Name and shape of the weight that keys with this beginning change; None for one that no region can have."""
        if base in self.attention:
            return self.attention[base], self.shapes[self.attention[base]]
        if base in self.text:
            rows, columns = self.text[base].weight.shape
            return self.text[base].name, (rows, columns)
        layer = self.layers.get(base)
        return (layer.name, layer.size) if layer is not None and layer.placed else None


@dataclass(frozen=True, eq=False)
class _Pair:
    factors: tuple[Tensor, Tensor]
    scale: float
    middle: Tensor | None


def _pairs(tensors: Mapping[str, Tensor]) -> dict[str, _Pair]:
    """The two factors of each weight that a file changes, by how its keys begin; weights that it also scales or
    resizes (DoRA) are not among them."""
    found: dict[str, _Pair] = {}
    for up, down in sorted(LORA_PAIRS.items(), key=lambda pair: len(pair[0])):  # the longest ending decides
        for key in tensors:
            base = key.removesuffix(up)
            resized = f"{base}.dora_scale" in tensors or f"{base}.reshape_weight" in tensors
            if base == key or base + down not in tensors or resized:
                continue
            alpha, rank = tensors.get(f"{base}.alpha"), tensors[base + down].shape[0] or 1
            scale = 1.0 if alpha is None else float(alpha) / rank
            found[base] = _Pair((tensors[key], tensors[base + down]), scale, tensors.get(f"{base}.lora_mid.weight"))
    return found


def _base_of(key: str, acting: Set[str]) -> str:
    """How the keys of the weight begin that a key belongs to."""
    ends = (*LORA_PAIRS, *LORA_PAIRS.values(), ".alpha", ".dora_scale", ".lora_mid.weight")
    bases = {key.removesuffix(end) for end in ends if key.endswith(end)}
    here = [base for base in bases if base in acting]
    if here:
        return here[0]
    return key.split(".")[0] if key.startswith("lora_") else min(bases, key=len, default=key)


def text_entries(backbone: Backbone) -> dict[str, TextWeight]:
    """The beginning of kohya's keys of each weight of a layer of the text encoders, and that weight."""
    weights = [one for one in backbone.text_weights() if one.weight.ndim == 2]
    encoders = list(dict.fromkeys(one.encoder for one in weights))
    numbers = {encoder: str(number) if len(encoders) > 1 else "" for number, encoder in enumerate(encoders, 1)}
    return {
        f"lora_te{numbers[one.encoder]}_text_model_{one.name.removesuffix('.weight').replace('.', '_')}": one
        for one in weights
    }


_PARTS = (
    ("text encoder", ("lora_te", "text_encoder", "bundle_emb")),
    ("layers of time and modulation", ("time", "_mod_", "modulation", "norm", "adaLN", "_emb_layers_")),
)
"""What people call parts of a model, and what keys of their weights hold."""


def _left_out(bases: Set[str], named: str) -> str:
    """Which weights of a file do not act, in words."""
    counts: dict[str, int] = {}
    for base in bases:
        part = next((part for part, marks in _PARTS if any(mark in base for mark in marks)), "other layers")
        counts[part] = counts.get(part, 0) + 1
    if not counts:
        return ""
    parts = listed(
        f"{part} ({counts[part]})" for part in (*(name for name, _ in _PARTS), "other layers") if part in counts
    )
    return f"Of {named}, {sum(counts.values())} weights are left out, which cannot be kept to a region: {parts}."


def added(rows: Tensor, change: LowRank, like: Tensor) -> Tensor:
    """What a change adds to queries, keys or values (1 or B, heads, l, d) of rows (1 or B, l, D):
    ``rows @ (up @ down)^T``.

    Args:
        rows: what they are computed from.
        change: of a weight (heads * d, D).
        like: the queries, keys or values, whose heads, device and precision the result has.
    """
    moved = rows.to(like.device).float()
    product = moved @ change.down.to(moved).T @ change.up.to(moved).T  # (1 or B, l, heads * d)
    return product.unflatten(-1, (like.shape[1], -1)).transpose(1, 2).to(like.dtype)


def added_behind(heads: Tensor, change: LowRank) -> Tensor:
    """What a change of the projection behind the heads (B, heads, N, d) adds to its output (B, N, C)."""
    rows = heads.transpose(1, 2).flatten(2).float()  # (B, N, heads * d)
    return rows @ change.down.to(rows).T @ change.up.to(rows).T


def concerns(changes: Changes, name: str) -> bool:
    """Whether changes act in a layer."""
    return any((name, role) in changes for role in ROLES)


def queries(inputs: AttentionInputs, changes: Changes) -> Tensor:
    """The queries (B, heads, N, d) of a layer under changes of it."""
    query, place = inputs.call.query, (inputs.call.site.name, "query")
    changed = place in changes and inputs.sources is not None
    return query + added(inputs.sources[0], changes[place], query) if changed and inputs.sources else query


def under(inputs: AttentionInputs, changes: Changes, bias: Tensor | None = None) -> EditedOutput:
    """The output of a layer as the changed model computes it from the same rows.

    Args:
        inputs: of the layer, whose ``sources`` are given.
        changes: of any of its projections.
        bias: on the logits (B or 1, 1, N, M).
    """
    call, name = inputs.call, inputs.call.site.name
    seen = {"query": call.query, "key": call.key, "value": inputs.value}
    for source, role in zip(inputs.sources or (), seen, strict=False):
        if (name, role) in changes:
            seen[role] = seen[role] + added(source, changes[name, role], seen[role])
    heads = attend(seen["query"], seen["key"], seen["value"], call.scale, bias)
    change = changes.get((name, "out"))
    return EditedOutput(heads, None if change is None else added_behind(heads, change))
