"""Write the help pages of every node: ``web/docs/<node id>.md`` from its schema, and one for each other language,
``web/docs/<node id>/<language>.md``, from ``locales/`` (developers; run after a node or a translation changes).

python -m concept_atelier.lab.build_help
"""

from pathlib import Path

from ..host.schema import io
from ..nodes import NODES
from .locales import SOURCE, Words, languages, node_words, read, unescape

FOLDER = Path(__file__).parents[1] / "web" / "docs"
HEADINGS = {
    "en": ("Inputs", "input", "Outputs", "output", "type"),
    "de": ("Eingänge", "Eingang", "Ausgänge", "Ausgang", "Typ"),
    "fr": ("Entrées", "entrée", "Sorties", "sortie", "type"),
}


def page(node: type[io.ComfyNode], words: Words, language: str = SOURCE) -> str:
    """A node's help: what it does, its inputs and outputs. Inputs are named as their widgets are, then by id."""
    schema = node.GET_SCHEMA()
    inputs, entry_of, outputs, output_of, kind = HEADINGS[language]
    lines = [f"# {unescape(words['display_name'])}", "", unescape(words["description"]), ""]
    if schema.inputs:
        rows = [_row(entry.id, entry.get_io_type(), words["inputs"][entry.id]) for entry in schema.inputs]
        lines += [f"## {inputs}", "", f"| {entry_of} | {kind} | |", "|---|---|---|", *rows, ""]
    said = [words["outputs"][str(slot)] for slot in range(len(schema.outputs))]
    rows = [
        f"| {unescape(of['name'])} | {output.get_io_type()} | {unescape(of.get('tooltip', ''))} |"
        for output, of in zip(schema.outputs, said, strict=True)
    ]
    return "\n".join([*lines, f"## {outputs}", "", f"| {output_of} | {kind} | |", "|---|---|---|", *rows, ""])


def pages() -> dict[str, str]:
    """Path below the folder to text, for every node and language."""
    texts = {}
    for language, words in {SOURCE: node_words(), **{name: read(name) for name in languages()}}.items():
        for node in NODES:
            key = node.GET_SCHEMA().node_id
            path = f"{key}.md" if language == SOURCE else f"{key}/{language}.md"
            texts[path] = page(node, words[key], language)
    return texts


def main() -> None:
    for path, text in pages().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")


def _row(key: str, kind: str, words: Words) -> str:
    name = unescape(words["name"])
    shown = f"`{key}`" if name == key else f"{name} (`{key}`)"
    return f"| {shown} | {kind} | {unescape(words.get('tooltip', ''))} |"


if __name__ == "__main__":
    main()
