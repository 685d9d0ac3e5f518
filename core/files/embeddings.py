"""Learnt tokens as textual-inversion files, one for each concept, which stock ComfyUI and diffusers read.

A model with one text encoder gets a single tensor ``emb_params`` (n, d); SDXL gets ``clip_l`` (n, 768) and ``clip_g``
(n, 1280). Anima gets ``qwen3_06b`` (n, 1024) and ``t5xxl`` (n, 1), the token numbers that it reads beside. What they
are and where they come from stands in the metadata.
"""

import re
from collections.abc import Collection, Mapping
from itertools import chain, count
from pathlib import Path

import torch
from torch import Tensor

from ..messages import listed, plain, shown
from ..types import ConceptTokens
from .tensors import load_tensors, save_tensors

SINGLE_KEY = "emb_params"
BUNDLE = "bundle_emb"
"""How the keys of embeddings inside of a LoRA file begin."""


def embedding_tensors(
    tokens: ConceptTokens, name: str, numbers: Mapping[str, int] | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """One concept as the tensors and metadata of a textual-inversion file.

    Args:
        tokens: learnt.
        name: of the concept.
        numbers: of a model that also reads token numbers: by tokenizer, the number in the place of each vector. ComfyUI
            takes integers out of a file as token numbers, and every tensor is then called as its encoder.

    Raises ``ValueError`` for a name that is not among the tokens and for vectors that are not finite.
    """
    if name not in tokens.vectors:
        raise ValueError(f"there is no token {shown(name)}; there are {listed(tokens.names) or 'none'}")
    vectors = tokens.vectors[name]
    single = len(vectors) == 1 and not numbers
    tensors = {SINGLE_KEY if single else key: rows.detach().float().cpu() for key, rows in vectors.items()}
    for key, rows in tensors.items():
        _check_rows(rows, f"token {shown(name)}, {key}")
    count = len(next(iter(vectors.values())))
    tensors |= {key: torch.full((count, 1), number) for key, number in (numbers or {}).items()}  # int64
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
    name = name if _names_token(name) else _as_name(Path(path).stem)
    return ConceptTokens({name: vectors}, metadata.get("family", family), metadata=_provenance(metadata))


def load_embeddings(paths: list[Path], expected_widths: Mapping[str, int], family: str = "") -> ConceptTokens:
    """Read several files into one set of tokens, in this order.

    If an earlier file holds a concept of the same name, the concept gets the name of its file, with the folder in front
    of it if that is taken as well, and else a number. Metadata is that of the first. Raises what
    :func:`load_embedding` raises, and ``ValueError`` for no files.
    """
    if not paths:
        raise ValueError("name at least one token file")
    loaded = [load_embedding(path, expected_widths, family) for path in paths]
    vectors: dict[str, Mapping[str, Tensor]] = {}
    for path, tokens in zip(paths, loaded, strict=True):
        name = tokens.names[0]
        vectors[_free_name(name, path, vectors)] = tokens.vectors[name]
    return ConceptTokens(vectors, loaded[0].family, metadata=loaded[0].metadata)


def _free_name(name: str, path: Path, taken: Collection[str]) -> str:
    """What a concept of a file is called beside others."""
    stem, folder = _as_name(path.stem), _as_name(path.parent.name)
    numbered = (f"{name}_{number}" for number in count(2))
    return next(one for one in chain((name, stem, f"{folder}_{stem}"), numbered) if one not in taken)


def _as_name(text: str) -> str:
    """A text as prompts can say it in brackets."""
    return re.sub(r"[\s<>]+", "_", text)[:100]


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
