"""``embedding:name`` in prompts, as ComfyUI writes learnt tokens that lie in files."""

import re
from pathlib import Path
from typing import Any

from ..core.backbone import Backbone, Placeholders
from ..core.files import load_embedding
from . import folders

_EMBEDDING = re.compile(r"(?:(?<=\s)|^)embedding:([^\s,]+)")
_WEIGHT = re.compile(r"(?<!\\)[()]")


def read_prompt(text: str, backbone: Backbone, extra_folders: tuple[Path, ...]) -> tuple[str, Placeholders]:
    """A prompt with ``<embedding:name>`` where it says ``embedding:name``, and what stands there.

    Raises:
        ValueError: for prompt weights, and for embeddings of another model.
        FileNotFoundError: for embeddings that are in none of the folders. (ComfyUI leaves them out with a line in its
            log; the picture then lacks them silently.)
    """
    if _WEIGHT.search(text):
        raise ValueError(
            f"the prompt {text!r} has brackets, and prompt weights such as (word:1.2) work in ComfyUI only; "
            "take them out, or write \\( and \\) for plain brackets"
        )
    placeholders: dict[str, Any] = {}
    for name in _EMBEDDING.findall(text):
        tokens = load_embedding(find_embedding(name, extra_folders), backbone.text_widths)
        placeholders[f"<embedding:{name}>"] = next(iter(tokens.vectors.values()))
    return mark_embeddings(text).replace("\\(", "(").replace("\\)", ")"), placeholders


def mark_embeddings(text: str) -> str:
    """A text with ``<embedding:name>`` where it says ``embedding:name``."""
    return _EMBEDDING.sub(r"<embedding:\1>", text)


def find_embedding(name: str, extra_folders: tuple[Path, ...] = ()) -> Path:
    """The file of an embedding named with or without its ending; sub-folders are searched, too, as in ComfyUI."""
    wanted = name if name.endswith(".safetensors") else f"{name}.safetensors"
    relative = folders.safe_name(wanted, "embedding name")
    searched = [*extra_folders, *folders.current().models.get("embeddings", ())]
    for folder in searched:
        found = [folder / relative, *sorted(folder.rglob(relative.name))]
        match = next((p for p in found if p.is_file() and p.parts[-len(relative.parts) :] == relative.parts), None)
        if match is not None:
            return match
    looked = ", ".join(map(str, searched)) or "no folder"
    raise FileNotFoundError(f"no embedding named {name!r}; looked in {looked}")
