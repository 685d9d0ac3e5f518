"""LoRA files: their many ways to name weights and to write changes, read for the UNets of the headless runner."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ...core.files import BUNDLE, load_tensors
from ...core.messages import listed, plain
from ...core.types import LowRank
from ...core.weight_changes import LORA_PAIRS, Hadamard, Kronecker, WeightChange, low_rank, whole
from ..shared.weights.unet_layouts import original_names
from ..shared.weights.weight_patches import WeightPatch, check_patch
from .flux import ENTRY_NAMES

TEXT_PREFIXES = ("lora_te", "text_encoder")
EMBEDDING_PREFIX = f"{BUNDLE}."

_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")
_LOKR = ("lokr_w1", "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2")
_PLAIN = ("alpha", "dora_scale", "diff", "diff_b", "w_norm", "b_norm", "set_weight", *_LOHA, *_LOKR)
_ELSEWHERE = {
    "oft_blocks": "OFT",
    "oft_diag": "OFT",
    "rescale": "OFT",
    "a1.weight": "GLoRA",
    "a2.weight": "GLoRA",
    "b1.weight": "GLoRA",
    "b2.weight": "GLoRA",
    "reshape_weight": "a weight of another size",
    "lora_magnitude_vector": "DoRA as PEFT writes it",
    "lora_magnitude_vector.weight": "DoRA as PEFT writes it",
}
_ENDINGS = (
    {up: "up" for up in LORA_PAIRS}
    | {down: "down" for down in LORA_PAIRS.values()}
    | {".lora_mid.weight": "middle"}
    | {f".{name}": name for name in (*_PLAIN, *_ELSEWHERE)}
)

Parts = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class LoraFile:
    """What a LoRA file changes.

    Attributes:
        factors, magnitudes, replaced: as in :class:`~..shared.weights.weight_patches.WeightPatch`.
        text: keys meant for text encoders.
        embeddings: names of embeddings that the file brings along.
    """

    factors: dict[str, WeightChange] = field(default_factory=dict)
    magnitudes: dict[str, Tensor] = field(default_factory=dict)
    replaced: dict[str, Tensor] = field(default_factory=dict)
    text: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()

    def patch(self, strength: float) -> WeightPatch:
        """The change at a strength."""
        return WeightPatch(self.factors, strength, self.magnitudes, self.replaced)


def read_lora(path: Path, unet: nn.Module, family: str) -> LoraFile:
    """Read a LoRA file for a diffusers UNet.

    LoRA under the names of kohya, PEFT and older and newer diffusers, LoHa, LoKr, DoRA, and whole differences of
    weights and biases.

    Raises:
        ValueError: naming the file, for pickled and damaged files, keys that name nothing in this model or are of a
            kind that is not read, changes that do not fit, are not complete or not finite, and files without changes.
    """
    tensors, _ = load_tensors(path)
    text = tuple(key for key in tensors if key.startswith(TEXT_PREFIXES))
    bundled = tuple(key for key in tensors if key.startswith(EMBEDDING_PREFIX))
    own = {
        key: tensor.float() for key, tensor in tensors.items() if not key.startswith((*TEXT_PREFIXES, EMBEDDING_PREFIX))
    }
    try:
        names = tuple(dict.fromkeys(key.split(".")[1] for key in bundled))
        lora = _changes(own, unet, family, text, names)
        check_patch(unet, lora.patch(1.0))
    except ValueError as error:
        raise ValueError(f"{path.name} {error}") from error
    if not (own or text):
        raise ValueError(f"{path.name} holds no change of a model{', only embeddings' if bundled else ''}")
    return lora


def _changes(own: Parts, unet: nn.Module, family: str, text: tuple[str, ...], embeddings: tuple[str, ...]) -> LoraFile:
    known, entries = weight_names(unet), _entries(own)
    kinds = sorted({_ELSEWHERE[part] for parts in entries.values() for part in parts if part in _ELSEWHERE})
    if kinds:
        raise ValueError(f"uses {' and '.join(kinds)}, which is not read here; ComfyUI may read it")
    strange = [base for base in entries if base not in known]
    if strange:
        raise ValueError(
            f"does not fit this {family} model: {len(strange)} of its entries name no weight of it "
            f"({listed(strange, 3)})"
        )
    empty = [key for key, tensor in own.items() if not tensor.numel()]
    if empty:
        raise ValueError(f"holds tensors without numbers, for instance {listed(empty, 3)}: save or download it again")
    broken = [key for key, tensor in own.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ValueError(f"holds values that are not finite (NaN or infinite), for instance in {listed(broken, 3)}")
    lora = LoraFile({}, {}, {}, text, embeddings)
    for base, parts in entries.items():
        _add(lora, base, known[base], parts)
    return lora


def _add(lora: LoraFile, base: str, weight: str, parts: Parts) -> None:
    """Put the changes of one entry into a file's; a whole difference takes the place of factors, as in ComfyUI."""
    bias = weight.removesuffix("weight") + "bias"
    change = next((found for kind in (_lora, _loha, _lokr) if (found := kind(parts)) is not None), None)
    differences = {name: whole(parts[part]) for part, name in _wholes(weight, bias) if part in parts}
    if change is None and not differences and "set_weight" not in parts:
        raise ValueError(f"is not complete: of {plain(base)} it holds {listed(parts)} alone")
    if change is not None and weight not in differences:
        lora.factors[weight] = change
        lora.magnitudes.update({weight: parts["dora_scale"]} if "dora_scale" in parts else {})
    lora.factors.update(differences)
    lora.replaced.update({weight: parts["set_weight"]} if "set_weight" in parts else {})


def _wholes(weight: str, bias: str) -> tuple[tuple[str, str], ...]:
    return ("w_norm", weight), ("b_norm", bias), ("diff", weight), ("diff_b", bias)


def _lora(parts: Parts) -> LowRank | None:
    if not ("up" in parts and "down" in parts):
        return None
    return low_rank(parts["up"], parts["down"], _scale(parts, "down"), parts.get("middle"))


def _loha(parts: Parts) -> Hadamard | None:
    needed = _LOHA[:4] if "hada_t1" not in parts else _LOHA
    if not all(name in parts for name in needed):
        return None
    first = _half(parts, "hada_w1_a", "hada_w1_b", "hada_t1", _scale(parts, "hada_w1_b"))
    return Hadamard(first, _half(parts, "hada_w2_a", "hada_w2_b", "hada_t2"))


def _lokr(parts: Parts) -> Kronecker | None:
    first, second, scale = parts.get("lokr_w1"), parts.get("lokr_w2"), 1.0
    if first is None and "lokr_w1_a" in parts and "lokr_w1_b" in parts:
        scale = _scale(parts, "lokr_w1_b")
        first = _half(parts, "lokr_w1_a", "lokr_w1_b").dense()
    if second is None and "lokr_w2_a" in parts and "lokr_w2_b" in parts:
        scale = _scale(parts, "lokr_w2_b")
        flat = _half(parts, "lokr_w2_a", "lokr_w2_b", "lokr_t2").dense()
        kernel = parts["lokr_t2"].shape[2:] if "lokr_t2" in parts else ()
        second = flat.reshape(len(flat), -1, *kernel)
    return None if first is None or second is None else Kronecker(first, second * scale)


def _half(parts: Parts, a: str, b: str, t: str = "", scale: float = 1.0) -> LowRank:
    """``a @ b``; with Tucker's middle ``t``, ``a`` is the other way round."""
    if t not in parts:
        return low_rank(parts[a], parts[b], scale)
    return low_rank(parts[a].transpose(0, -1), parts[b], scale, parts[t])


def _scale(parts: Parts, down: str) -> float:
    """``alpha / rank``, where ``down`` is the part that has a row for each rank."""
    if "alpha" not in parts:
        return 1.0
    if parts["alpha"].numel() != 1 or not parts[down].ndim or not len(parts[down]):
        raise ValueError(f"has an alpha of {tuple(parts['alpha'].shape)} beside {tuple(parts[down].shape)}")
    return float(parts["alpha"]) / len(parts[down])


def _entries(tensors: Parts) -> dict[str, dict[str, Tensor]]:
    """The entries of a file by the weight that they name: part to tensor."""
    entries: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        ending = max((end for end in _ENDINGS if key.endswith(end)), key=len, default="")
        entries.setdefault(key.removesuffix(ending), {})[_ENDINGS.get(ending, key)] = tensor
    return entries


def weight_names(unet: nn.Module) -> dict[str, str]:
    """Names a LoRA file may use, to the parameter."""
    names: dict[str, str] = {}
    state = dict(unet.named_parameters())
    entries = {theirs: ours for ours, theirs in ENTRY_NAMES.items()}
    original = dict.fromkeys(state) | entries if entries.keys() <= state.keys() else original_names(state.keys())
    for parameter in state:
        for spelt in (parameter, original[parameter] or parameter):
            if spelt.endswith(".weight"):
                names |= dict.fromkeys(_spellings(spelt.removesuffix(".weight")), parameter)
            else:
                names[f"diffusion_model.{spelt}"] = parameter
    return names


def _spellings(base: str) -> Iterable[str]:
    joined = base.replace(".", "_")
    yield from (f"{prefix}{joined}" for prefix in ("lora_unet_", "lora_transformer_", "lycoris_"))
    for dotted in (base, base.replace(".to_", ".processor.to_").replace(".to_out.0", ".to_out")):
        yield from (f"{prefix}{dotted}" for prefix in ("", "unet.", "transformer.", "diffusion_model."))
