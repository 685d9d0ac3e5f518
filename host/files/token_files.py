"""Tokens in the embeddings folder."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.backbone import Backbone
from ...core.files import embedding_tensors, load_embeddings
from ...core.messages import listed, plain, shown
from ...core.types import ConceptTokens
from ..shared.families import FAMILIES
from ..shared.text.prompt_syntax import KEYWORD
from .folders import Folders
from .model_files import file_of, save_model
from .names import distinct, prompt_name

NOTE = "# "
"""How a line begins that is for people to read, and names no file."""


@dataclass(frozen=True)
class SavedTokens:
    """What was written.

    Attributes:
        names: of the files, as prompts say them.
        changed: names that no prompt could say, or no system could have, to what they were changed to.
        notes: on names that were taken meanwhile.
    """

    names: tuple[str, ...]
    changed: dict[str, str]
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """A line a file, ``embedding:name``, and a note on changed names; :func:`read_names` reads it."""
        lines = [KEYWORD + name for name in self.names]
        if self.changed:
            listing = listed((f"{shown(asked)} is {name}" for asked, name in self.changed.items()), letters=300)
            lines.append(f"{NOTE}Changed, so that prompts can say the name: {listing}")
        return "\n".join([*lines, *(NOTE + note for note in self.notes)])


def save(tokens: ConceptTokens, prefix: str, folders: Folders) -> SavedTokens:
    """Write one file per concept. No name is refused: a training must not be lost because of one."""
    asked = [f"{prefix}{name}" for name in tokens.names]
    folder = folders.models["embeddings"][0]
    names = distinct(_writable(prompt_name(name), folder) for name in asked)
    contents = [embedding_tensors(tokens, concept, _numbers(tokens.family)) for concept in tokens.names]
    saved = [save_model(folders, "embeddings", *pair) for pair in zip(names, contents, strict=True)]
    changed = {old: new for old, new in zip(asked, names, strict=True) if old != new}
    notes = (*(one.note for one in saved if one.note), *_of_family(tokens.family))
    return SavedTokens(tuple(one.name for one in saved), changed, notes)


def _numbers(name: str) -> dict[str, int]:
    """The token numbers that a family's prompts have in the places of vectors, by tokenizer; none for most."""
    family = FAMILIES.get(name)
    return {} if family is None or family.transformer is None else dict(family.transformer.unknown)


def _of_family(name: str) -> tuple[str, ...]:
    """What to say of a family for which ComfyUI's own nodes do not read the files."""
    family = FAMILIES.get(name)
    if family is None or family.transformer is None or family.transformer.reads_files:
        return ()
    return (
        f"ComfyUI's own CLIP Text Encode reads no embedding files with {family.title}: use Load Concept Tokens and "
        "Encode Concept Prompt",
    )


def load(names: Sequence[str], backbone: Backbone, folders: Folders) -> ConceptTokens:
    """Read files by name, one that is named twice once. A second token of one name gets the name of its file.

    Raises as :func:`~...core.files.load_embeddings` does, and ``ValueError`` for no names.
    """
    if not names:
        raise ValueError("name at least one embedding; Save Concept Tokens shows the names it wrote")
    paths = [folders.find_model("embeddings", file) for file in _distinct_files(names)]
    return load_embeddings(paths, backbone.text_widths, backbone.family)


def described(tokens: ConceptTokens, files: Sequence[str]) -> str:
    """Which token stands for which file, a line each; ``files`` are those that :func:`load` was given."""
    pairs = zip(tokens.names, _distinct_files(files), strict=True)
    return "\n".join(f"<{name}> from {plain(file)}" for name, file in pairs)


def _distinct_files(names: Sequence[str]) -> list[str]:
    """The files of names, each once, as one token stands for each of them."""
    return list(dict.fromkeys(map(file_of, names)))


def read_names(text: str) -> list[str]:
    """The names in a text: one per line, with commas, or as prompts and Save Concept Tokens say them.

    ``embedding:`` before a name is taken off, lines that begin with ``# `` are left out.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(NOTE)]
    entries = [entry.strip() for line in lines for entry in re.split(rf",|\s(?={KEYWORD})", line)]
    return [name for name in (entry.removeprefix(KEYWORD).strip() for entry in entries) if name]


def _writable(name: str, folder: Path) -> str:
    """The name, without its folders where a file stands in their way or a folder in the file's."""
    target = folder / f"{name}.safetensors"
    above = [parent for parent in target.parents if folder in parent.parents]
    if target.is_dir() or any(parent.exists() and not parent.is_dir() for parent in above):
        return f"{name.replace('/', '_')}_"
    return name
