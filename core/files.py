"""Learnt tokens and erasures as files that stock ComfyUI and diffusers read.

Tokens: one textual-inversion file per concept, safetensors. A model with one text encoder gets a single tensor
``emb_params`` (n, d); SDXL gets ``clip_l`` (n, 768) and ``clip_g`` (n, 1280). Erasures: a LoRA file with kohya's
names; so do the changes of a model that belong to tokens. What they are and where they come from stands in the
metadata.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .messages import listed, plain, shown
from .types import Change, ConceptTokens, Erasure, LowRank
from .writing import atomic_write

SINGLE_KEY = "emb_params"
BUNDLE = "bundle_emb"
"""How the keys of embeddings inside of a LoRA file begin."""
_READABLE = frozenset(
    ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "bool", "uint8")
    + ("int8", "int16", "int32", "int64")
)
_DIFFUSERS_BLOCKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("flux", "flux2", "chroma", "lab_flux"),
        ("lora_transformer_", ("transformer_blocks.", "single_transformer_blocks.")),
    ),
    "z_image": ("lycoris_", ("layers.",)),
}
"""Family to how keys of its blocks begin in a LoRA file, where blocks go by diffusers' names, and to those names."""
PICKLED = (".pt", ".bin", ".ckpt", ".pth", ".pkl")


def embedding_tensors(tokens: ConceptTokens, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """One concept as the tensors and metadata of a textual-inversion file.

    Raises ``ValueError`` for a name that is not among the tokens and for vectors that are not finite.
    """
    if name not in tokens.vectors:
        raise ValueError(f"there is no token {shown(name)}; there are {listed(tokens.names) or 'none'}")
    vectors = tokens.vectors[name]
    single = len(vectors) == 1
    tensors = {SINGLE_KEY if single else key: rows.detach().float().cpu() for key, rows in vectors.items()}
    for key, rows in tensors.items():
        _check_rows(rows, f"token {shown(name)}, {key}")
    metadata = {"format": "concept-atelier token", "name": name, "family": tokens.family, "encoders": ",".join(vectors)}
    return tensors, dict(tokens.metadata) | metadata


def save_embedding(path: Path, tokens: ConceptTokens, name: str) -> None:
    """Write one concept to ``path`` (ending in ``.safetensors``), whole or not at all."""
    save_tensors(path, *embedding_tensors(tokens, name))


def load_embedding(path: Path, expected_widths: Mapping[str, int], family: str = "") -> ConceptTokens:
    """Read one textual-inversion file, ours or another tool's.

    Args:
        path: a safetensors file.
        expected_widths: text encoder name to table width of the model it is for (``Backbone.text_widths``).
        family: what to call the family when the file does not say.

    Returns:
        one concept, named as the metadata says, or as the file where they say nothing that a prompt could.

    Raises ``FileNotFoundError``, and ``ValueError`` for pickled, damaged or foreign files, vectors of another width
    and vectors that are not finite; the message says what to do.
    """
    tensors, metadata = load_tensors(path)
    tensors = _bundled(tensors, expected_widths) or tensors
    vectors = {encoder: _rows(tensors[key], path) for encoder, key in _find_keys(tensors, expected_widths, path)}
    for encoder, rows in vectors.items():
        _check_rows(rows, f"{plain(str(path), 300)}, {encoder}")
        if rows.shape[1] != expected_widths[encoder]:
            raise ValueError(
                f"{plain(str(path), 300)} was learnt on another kind of model{_said_family(metadata)}: its vectors are "
                f"{rows.shape[1]} wide, this model's {encoder} reads {expected_widths[encoder]}"
            )
    name = metadata.get("name", "")
    name = name if _names_token(name) else Path(path).stem
    return ConceptTokens({name: vectors}, metadata.get("family", family), metadata=_provenance(metadata))


def load_embeddings(paths: list[Path], expected_widths: Mapping[str, int], family: str = "") -> ConceptTokens:
    """Read several files into one set of tokens, in this order.

    Metadata is that of the first. Raises what :func:`load_embedding` raises, and ``ValueError`` for no files and for
    two concepts of one name.
    """
    if not paths:
        raise ValueError("name at least one token file")
    loaded = [load_embedding(path, expected_widths, family) for path in paths]
    vectors: dict[str, Mapping[str, Tensor]] = {}
    for path, tokens in zip(paths, loaded, strict=True):
        name = tokens.names[0]
        if name in vectors:
            raise ValueError(f"{plain(str(path), 300)} holds another token called {shown(name)}; load them apart")
        vectors[name] = tokens.vectors[name]
    return ConceptTokens(vectors, loaded[0].family, metadata=loaded[0].metadata)


def lora_tensors(erasure: Erasure, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Tensor], dict[str, str]]:
    """An erasure as the tensors and metadata of a LoRA file, multiplied by its strength.

    Keys of the denoiser are kohya's (``lora_unet_..._to_k.lora_up.weight``, ``.lora_down.weight``, ``.alpha``); alpha
    is the rank, so that loaders scale by 1. Loads in ComfyUI's LoraLoader and in diffusers' ``load_lora_weights``. Full
    changes are written as ``.diff``, which ComfyUI loads and diffusers does not. Keys of text encoders are ComfyUI's
    (:func:`text_key`), the same for every model that has the encoder; a bias is ``.diff_b``.

    Raises ``ValueError`` for an erasure that guards sampling, which a LoRA cannot hold, that changes nothing, or that
    is not finite.
    """
    if erasure.guards:
        raise ValueError("a LoRA file cannot hold all of this erasure: it also guards the sampling")
    if not (erasure.factors or erasure.text):
        raise ValueError("this erasure changes no weight, so there is no LoRA to save")
    tensors = change_tensors(erasure.family, erasure.factors, erasure.text, erasure.strength, dtype)
    check_finite(tensors, "the erasure's change")
    own = {"format": "concept-atelier erasure", "family": erasure.family, "strength": str(erasure.strength)}
    return tensors, dict(erasure.metadata) | own


def change_tensors(
    family: str,
    factors: Mapping[str, Change],
    text: Mapping[str, Mapping[str, Change]],
    strength: float = 1.0,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Changes of a denoiser and of text encoders under the keys of a LoRA file."""
    keys = {kohya_key(name, family): change for name, change in factors.items()}
    keys |= {text_key(encoder, name): one for encoder, of in text.items() for name, one in of.items()}
    return _written(keys, strength, dtype)


def adapter_tensors(
    tokens: ConceptTokens, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The change of the model that belongs to tokens, as :func:`lora_tensors` gives an erasure.

    Raises ``ValueError`` for tokens without one, and for factors that are not finite.
    """
    if not tokens.adapter:
        raise ValueError(
            "these tokens come without a change of the model, so there is no LoRA to save: "
            "use Save Concept Tokens, or learn with a method that tunes the model"
        )
    broken = [n for n, f in tokens.adapter.items() if not (torch.isfinite(f.up).all() and torch.isfinite(f.down).all())]
    if broken:
        raise ValueError(f"the change of {broken[0]} is not finite (NaN or infinite); learn the tokens again")
    own = {"format": "concept-atelier adapter", "family": tokens.family, "concepts": ",".join(tokens.names)}
    keys = {kohya_key(name, tokens.family): change for name, change in tokens.adapter.items()}
    return _written(keys, 1.0, dtype), dict(tokens.metadata) | own


def save_adapter(path: Path, tokens: ConceptTokens, dtype: torch.dtype = torch.float32) -> None:
    """Write the change that belongs to tokens to ``path`` (ending in ``.safetensors``), whole or not at all."""
    save_tensors(path, *adapter_tensors(tokens, dtype))


def save_lora(path: Path, erasure: Erasure, dtype: torch.dtype = torch.float32) -> None:
    """Write an erasure to ``path`` (ending in ``.safetensors``), whole or not at all."""
    save_tensors(path, *lora_tensors(erasure, dtype))


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file beside ``path`` and move it there once it is whole.

    On any exception, a full disk or an interrupt included, an older file at ``path`` stays as it was and nothing else
    is left. Raises ``ValueError`` for another ending than ``.safetensors``, ``OSError`` where writing fails.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"only .safetensors files are written, got {path.name}")
    with atomic_write(path) as temporary:
        write_tensors(temporary, tensors, metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file as it is, for those who see to its name (:func:`.writing.write_named`).

    Not by ``save_file``, whose files only their owner can read.
    """
    whole = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    texts = {key: text.encode("utf-8", "replace").decode() for key, text in (metadata or {}).items()}
    path.write_bytes(save(whole, metadata=texts or None))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; pickled, damaged and empty files are refused with ``ValueError``."""
    path = Path(path)
    named = plain(str(path), 300)
    if path.suffix.lower() in PICKLED:
        raise ValueError(
            f"{plain(path.name)} is a pickled file, which can run code when it is read; convert it to .safetensors"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {named}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        why = plain(str(error), 200)
        raise ValueError(f"{named} is cut short or no safetensors file ({why}): save or download it again") from error
    strange = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()} - _READABLE)
    if strange:
        raise ValueError(f"{named} holds numbers of the type {listed(strange)}, which are not read; save it as float16")
    if not tensors:
        raise ValueError(f"{named} holds no tensors, so there is nothing to apply: save or download it again")
    return tensors, metadata


def check_finite(tensors: Mapping[str, Tensor], what: str) -> None:
    broken = next((key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())), None)
    if broken is not None:
        raise ValueError(f"{what} is not finite (NaN or infinite, in {plain(broken)}); make it anew")


def kohya_key(name: str, family: str) -> str:
    """How keys of a LoRA file begin that belong to a weight of the denoiser of a family.

    ComfyUI knows weights by its own names behind one prefix, and blocks of transformers by diffusers' names behind
    others.
    """
    prefix, blocks = _DIFFUSERS_BLOCKS.get(family, ("", ()))
    if not name.startswith(blocks):
        prefix = "lora_unet_"
    return prefix + name.removesuffix(".weight").replace(".", "_")


def text_key(encoder: str, name: str) -> str:
    """How keys of a LoRA file begin that belong to a weight of a CLIP text encoder; a bias keeps its ``.bias``."""
    return f"text_encoders.{encoder}.transformer.text_model.{name.removesuffix('.weight')}"


def _written(factors: Mapping[str, Change], strength: float, dtype: torch.dtype) -> dict[str, Tensor]:
    """Changes by how their keys begin, as the tensors of a file."""
    tensors: dict[str, Tensor] = {}
    for key, factor in factors.items():
        if not isinstance(factor, LowRank):
            whole = (factor.dense() * strength).to("cpu", dtype)
            if key.endswith(".bias"):
                tensors[f"{key.removesuffix('.bias')}.diff_b"] = whole.flatten()
            else:
                tensors[f"{key}.diff"] = whole
            continue
        tensors[f"{key}.lora_up.weight"] = (factor.up * strength).to("cpu", dtype)
        tensors[f"{key}.lora_down.weight"] = factor.down.to("cpu", dtype)
        tensors[f"{key}.alpha"] = torch.tensor(float(factor.down.shape[0]), dtype=dtype)
    return tensors


def _bundled(tensors: Mapping[str, Tensor], widths: Mapping[str, int]) -> dict[str, Tensor]:
    """What a LoRA file brings as embeddings, ``bundle_emb.NAME.KEY``: joined by key, as ComfyUI does; else nothing."""
    if any(encoder in tensors for encoder in widths):
        return {}
    single = {SINGLE_KEY: _joined(tensors, ".string_to_param.*")}
    of_encoders = {encoder: _joined(tensors, f".{encoder}") for encoder in widths}
    chosen = single if single[SINGLE_KEY] and len(widths) == 1 else of_encoders
    return {key: torch.cat(parts) for key, parts in chosen.items() if len({part.shape[-1] for part in parts}) == 1}


def _joined(tensors: Mapping[str, Tensor], ending: str) -> list[Tensor]:
    keys = (key for key in tensors if key.startswith(f"{BUNDLE}.") and key.endswith(ending))
    return [torch.atleast_2d(tensors[key]) for key in keys]


def _find_keys(tensors: Mapping[str, Tensor], widths: Mapping[str, int], path: Path) -> list[tuple[str, str]]:
    """Encoder and key of each tensor that the model needs."""
    if all(encoder in tensors for encoder in widths):
        return [(encoder, encoder) for encoder in widths]
    if len(widths) == 1 and len(tensors) == 1:
        return [(next(iter(widths)), next(iter(tensors)))]
    wanted = " and ".join(widths) + (f" or a single {SINGLE_KEY}" if len(widths) == 1 else "")
    found = listed(tensors, 5) or "nothing"
    raise ValueError(f"{plain(str(path), 300)} is no token file for this model: it holds {found}, expected {wanted}")


def _rows(tensor: Tensor, path: Path) -> Tensor:
    if not tensor.is_floating_point() or tensor.ndim not in (1, 2):
        raise ValueError(f"{plain(str(path), 300)}: expected vectors (n, d), got {tensor.dtype} {tuple(tensor.shape)}")
    return torch.atleast_2d(tensor.float())


def _check_rows(rows: Tensor, where: str) -> None:
    if rows.ndim != 2 or not rows.numel():
        raise ValueError(f"{where}: expected vectors (n, d), got {tuple(rows.shape)}")
    if not torch.isfinite(rows).all():
        raise ValueError(f"{where}: the vectors are not finite (NaN or infinite); learn the token again")


def _names_token(name: str) -> bool:
    """Whether a prompt can say ``<name>``."""
    return 0 < len(name) <= 100 and name.isprintable() and not any(letter in "<> " for letter in name)


def _said_family(metadata: Mapping[str, str]) -> str:
    return f" ({plain(metadata['family'])})" if metadata.get("family") else ""


def _provenance(metadata: Mapping[str, str]) -> dict[str, str]:
    own = ("format", "name", "family", "encoders")
    return {key: value for key, value in metadata.items() if key not in own}
