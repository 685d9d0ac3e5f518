"""Write the help pages of every node: ``web/docs/<node id>.md`` from its schema, and one for each other language,
``web/docs/<node id>/<language>.md``, from ``locales/``; and the table of methods in ``docs/methods.md`` (developers;
run after a node, a method or a translation changes).

python -m concept_atelier.tools.build_help
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.compose.registry import METHODS as COMPOSING
from ..core.erase.registry import METHODS as ERASING
from ..core.explain.registry import METHODS as EXPLAINING
from ..core.learn.registry import METHODS as LEARNING
from ..core.localize.registry import METHODS as LOCALIZING
from ..host.schema import io
from ..nodes import NODES
from .locales import SOURCE, Words, languages, node_words, read, unescape
from .pages.cards import table
from .pages.files import with_part

FOLDER = Path(__file__).parents[1] / "web" / "docs"
METHODS_PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
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
    lines += [f"## {outputs}", "", f"| {output_of} | {kind} | |", "|---|---|---|", *rows, ""]
    return "\n".join([*lines, *(_methods(schema.node_id) if language == SOURCE else ())])


METHODS_OF: Mapping[str, tuple[Sequence[Any], str]] = {
    "ConceptAtelierLearnConceptTokens": (tuple(LEARNING.values()), "only the picture"),
    "ConceptAtelierLocalizeConcepts": (tuple(one for one in LOCALIZING.values() if not one.needs), "only the picture"),
    "ConceptAtelierLocalizeWords": (tuple(one for one in LOCALIZING.values() if one.needs), "only the picture"),
    "ConceptAtelierComposeConcepts": (tuple(COMPOSING.values()), "the concepts and a place for each"),
    "ConceptAtelierEraseConcepts": (
        tuple(one for one in ERASING.values() if not one.trains),
        "only the lists of words",
    ),
    "ConceptAtelierFindIngredients": (tuple(EXPLAINING.values()), "only the activations"),
    "ConceptAtelierTrainErasure": (tuple(one for one in ERASING.values() if one.trains), "only the lists of words"),
}
"""Node id to the records of the methods it offers, and what a method needs that names nothing else."""

PASS = (
    "A *pass* is one sample through the denoiser; a pass that is trained on also runs backward. "
    "N is the number of concepts."
)


def _methods(node_id: str) -> list[str]:
    """A list of a node's methods: what each does, needs and costs, and what to know beside."""
    if node_id not in METHODS_OF:
        return []
    methods, needs = METHODS_OF[node_id]
    return [
        "## Methods",
        "",
        f"{PASS} Below each method stand its presets, and what they cost.",
        "",
        *(_method(one, needs) for one in methods),
        "",
    ]


def _method(record: Any, nothing_else: str) -> str:
    needs = ", ".join(need.replace("_", " ") for need in getattr(record, "needs", ())) or nothing_else
    shown = getattr(record, "pictures_of", "")
    parts = [
        f"- **{record.title}** (`{record.name}`): {record.help}",
        f"Needs {needs}.",
        f"Looks at pictures of the {shown}, its own where you connect none." if shown else "",
        "A change of the model belongs to the tokens: use the MODEL output, or save it as a LoRA."
        if getattr(record, "changes_model", False)
        else "",
        record.note,
    ]
    return "\n".join([" ".join(part for part in parts if part), *_costs(record)])


def _costs(record: Any) -> list[str]:
    """A line for every cost that presets have, with the names of those."""
    by_cost: dict[str, list[str]] = {}
    for name, settings in record.presets.items():
        by_cost.setdefault(settings.cost, []).append(f"`{name}`")
    return [f"  - {', '.join(names)}: {cost}." for cost, names in by_cost.items()]


def pages() -> dict[str, str]:
    """Path below the folder to text, for every node and language."""
    texts = {}
    for language, words in {SOURCE: node_words(), **{name: read(name) for name in languages()}}.items():
        for node in NODES:
            key = node.GET_SCHEMA().node_id
            path = f"{key}.md" if language == SOURCE else f"{key}/{language}.md"
            texts[path] = page(node, words[key], language)
    return texts


def methods_page() -> str:
    """``docs/methods.md`` with its table of the methods of learning written anew."""
    rows = [["method", "needs", "gives", "cost of each preset"]]
    for name, method in LEARNING.items():
        needs = ", ".join(["picture", *(need.replace("_", " ") for need in method.needs)])
        gives = "a token for each concept" + ", and a change of the model" * method.changes_model
        costs = "<br>".join(f"`{preset}`: {settings.cost}" for preset, settings in method.presets.items())
        rows.append([f"`{name}`", needs, gives, costs])
    return with_part(METHODS_PAGE.read_text(encoding="utf-8"), "learning methods", table(rows))


def main() -> None:
    METHODS_PAGE.write_text(methods_page(), encoding="utf-8")
    for path, text in pages().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")


def _row(key: str, kind: str, words: Words) -> str:
    name = unescape(words["name"])
    shown = f"`{key}`" if name == key else f"{name} (`{key}`)"
    tooltip = unescape(words.get("tooltip", "")).replace("\n", "<br>")
    return f"| {shown} | {kind} | {tooltip} |"


if __name__ == "__main__":
    main()
