"""The words of every node, by language: English out of the schemas, other languages out of ``locales/``.

The format is that of ComfyUI's front end: ``nodeDefs.json`` maps a node's id to its ``display_name``, ``description``,
``inputs`` and ``outputs``, each with ``name`` and ``tooltip``; ``main.json`` holds words that nodes share. The front
end reads them as vue-i18n messages, to which ``{ } @ | $`` are syntax: :func:`escape` says them literally.

Beside a translation lies ``hashes.json``, which the front end does not read. It holds, for each text, a hash of the
English that it was translated from and a hash of the translation. A text is stale when its English has changed since
then and the translation has not.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..host.schema import io
from ..nodes import NODES
from ..nodes.sockets import CATEGORY

FOLDER = Path(__file__).parents[1] / "locales"
SOURCE = "en"
PACK = "concept-atelier"
OWN_TYPES = (
    "CONCEPTS",
    "CONCEPT_PICTURES",
    "CONCEPT_TOKENS",
    "ATTENTION_CAPTURE",
    "ERASURE",
    "ERASURE_ATTACK",
    "ERASURE_AUDIT",
    "CONCEPT_VECTORS",
    "HEAD_OFFSETS",
    "CONCEPT_PROTOTYPES",
    "ACTIVATIONS",
    "ACTIVATION_RECORDING",
    "CONCEPT_BANK",
    "CONCEPT_CODES",
    "CONCEPT_SCORES",
    "CONCEPT_HEAD",
    "EMBEDDING_ALIGNMENT",
    "SKILL",
)
_SPECIAL = re.compile(r"[{}@|$]")
_ESCAPED = re.compile(r"\{'([{}@|$])'\}")

Words = dict[str, Any]


def escape(text: str) -> str:
    """A text as a vue-i18n message."""
    return _SPECIAL.sub(lambda found: f"{{'{found[0]}'}}", text)


def unescape(message: str) -> str:
    """The text that a vue-i18n message without parameters shows."""
    return _ESCAPED.sub(r"\1", message)


def is_escaped(message: str) -> bool:
    """Whether no sign of a message would be taken for syntax."""
    return not _SPECIAL.search(_ESCAPED.sub("", message))


def languages() -> list[str]:
    """The languages of ``locales/``, without English."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != SOURCE)


def read(language: str, name: str = "nodeDefs") -> Words:
    """A file of a language, as it stands (escaped)."""
    words: Words = json.loads((FOLDER / language / f"{name}.json").read_text(encoding="utf-8"))
    return words


def texts(words: Words, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every text with its path, for instance ``ConceptAtelierEraseConcepts.inputs.anchors.tooltip``."""
    for key, value in words.items():
        if isinstance(value, dict):
            yield from texts(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


def hashed(text: str) -> str:
    """A short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


Hashes = Mapping[str, str]
"""Path of a text to two hashes, those of its English and of its translation, with a space between."""


def hashes_now(language: str) -> Hashes:
    """The hashes of a translation that is right for the English of today."""
    english, theirs = dict(texts(node_words())), dict(texts(read(language)))
    return {path: f"{hashed(text)} {hashed(theirs[path])}" for path, text in english.items() if path in theirs}


def stale(now: Hashes, known: Hashes) -> list[str]:
    """The paths of texts that were translated from another English than today's, and not changed since."""
    return [path for path, both in now.items() if path in known and _only_english_differs(both, known[path])]


def _only_english_differs(now: str, known: str) -> bool:
    return now != known and now.split()[1] == known.split()[1]


def node_words() -> Words:
    """``nodeDefs.json`` in English, from the nodes' schemas."""
    return {schema.node_id: _words_of(schema) for schema in (node.GET_SCHEMA() for node in NODES)}


def shared_words() -> Words:
    """``main.json`` in English: categories, our own socket types, and what the template browser calls the pack's
    folder."""
    levels = {level for node in NODES for level in node.GET_SCHEMA().category.split("/")}
    ordered = [CATEGORY, *sorted(levels - {CATEGORY})]
    return {
        "nodeCategories": {level: level for level in ordered},
        "dataTypes": {kind: kind for kind in OWN_TYPES},
        "templateWorkflows": {"category": {PACK: CATEGORY}},
    }


def _words_of(schema: io.Schema) -> Words:
    words: Words = {"display_name": schema.display_name or "", "description": schema.description}
    if schema.inputs:
        words["inputs"] = {entry.id: _input_words(entry) for entry in schema.inputs}
    words["outputs"] = {
        str(slot): {"name": output.display_name or output.get_io_type()} | _tooltip(output.tooltip)
        for slot, output in enumerate(schema.outputs)
    }
    return _escaped(words)


def _input_words(entry: io.Input) -> Words:
    options = entry.as_dict()
    return {"name": options.get("display_name") or entry.id} | _tooltip(options.get("tooltip"))


def _tooltip(text: str | None) -> Words:
    return {"tooltip": text} if text else {}


def _escaped(words: Words) -> Words:
    return {key: _escaped(value) if isinstance(value, dict) else escape(value) for key, value in words.items()}
