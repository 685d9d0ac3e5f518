"""Write ``locales/en`` from the nodes' schemas (developers; run after a node or a translation changes).

Other languages are written by hand; ``tests/nodes/test_locales.py`` names what is missing or stale there. A translation
that was changed is taken as one of the English of today; ``--accept`` says so of texts that still fit as they are.

python -m concept_atelier.tools.build_locales [--accept PATH ...]
"""

import argparse
import json
from collections.abc import Collection

from .locales import FOLDER, SOURCE, Hashes, Words, hashes_now, languages, node_words, read, shared_words, stale

HASHES = "hashes"
"""``locales/<language>/hashes.json``."""


def files() -> dict[str, str]:
    """File name to text."""
    return {"main.json": _text(shared_words()), "nodeDefs.json": _text(node_words())}


def known_hashes(language: str) -> Hashes:
    """What was recorded of a translation; nothing for a new language."""
    return read(language, HASHES) if (FOLDER / language / f"{HASHES}.json").exists() else {}


def renewed(now: Hashes, known: Hashes, accepted: Collection[str] = ()) -> Hashes:
    """The record to keep: stale texts stay as they were recorded, unless they are accepted."""
    left = set(stale(now, known)) - set(accepted)
    return {path: known[path] if path in left else hashes for path, hashes in now.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", nargs="+", default=[], metavar="PATH", help="texts whose translations still fit")
    accepted = parser.parse_args().accept
    folder = FOLDER / SOURCE
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")
    for language in languages():
        record = renewed(hashes_now(language), known_hashes(language), accepted)
        (FOLDER / language / f"{HASHES}.json").write_text(_text(dict(record)), encoding="utf-8")


def _text(words: Words) -> str:
    return json.dumps(words, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
