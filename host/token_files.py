"""Tokens in the embeddings folder."""

import hashlib
from collections.abc import Sequence

from ..core.backbone import Backbone
from ..core.files import load_embeddings, save_embedding
from ..core.types import ConceptTokens
from .folders import Folders, note_written


def save(tokens: ConceptTokens, prefix: str, folders: Folders) -> list[str]:
    """Write one file per concept; returns their names as prompts say them.

    Raises :class:`~.names.BadNameError` before anything is written, for a prefix that makes a bad name.
    """
    names = [f"{prefix}{name}" for name in tokens.names]
    targets = [folders.model_target("embeddings", name) for name in names]
    for name, target in zip(tokens.names, targets, strict=True):
        save_embedding(target, tokens, name)
        note_written(target)
    return names


def load(names: Sequence[str], backbone: Backbone, folders: Folders) -> ConceptTokens:
    """Read files by name. Raises as :func:`~..core.files.load_embeddings` does, and ``ValueError`` for no names."""
    if not names:
        raise ValueError("name at least one embedding; Save Concept Tokens says the names it wrote")
    paths = [folders.find_model("embeddings", _file(name)) for name in names]
    return load_embeddings(paths, backbone.text_widths, backbone.family)


def fingerprint(names: Sequence[str], folders: Folders) -> str:
    """Changes when one of the files does."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(folders.find_model("embeddings", _file(name)).read_bytes())
    return digest.hexdigest()


def _file(name: str) -> str:
    return name if name.endswith((".safetensors", ".pt", ".bin", ".ckpt")) else f"{name}.safetensors"
