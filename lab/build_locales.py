"""Write ``locales/en`` from the nodes' schemas (developers; run after a node changes). Other languages are written by
hand; ``tests/nodes/test_locales.py`` says what is missing there.

python -m concept_atelier.lab.build_locales
"""

import json

from .locales import FOLDER, SOURCE, Words, node_words, shared_words


def files() -> dict[str, str]:
    """File name to text."""
    return {"main.json": _text(shared_words()), "nodeDefs.json": _text(node_words())}


def main() -> None:
    folder = FOLDER / SOURCE
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(words: Words) -> str:
    return json.dumps(words, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
