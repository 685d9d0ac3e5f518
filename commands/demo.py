"""``python -m concept_atelier demo``: the three workflows on the lab model, and one page that shows what came out."""

import argparse
import html
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

from ..host.files.saving import atomic_write
from ..host.workflow.examples import TITLES, WORKFLOWS
from ..host.workflow.execution import NodeFailedError
from ..host.workflow.graph import WorkflowError
from ..host.workflow.runner import RunResult, StoppedRunError, run_workflow
from ..host.workflow.terminal import Quiet, Reporter, TerminalBar
from ..nodes.headless import HEADLESS_NODES

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin: 2.2rem 0 .3rem; border-top: 1px solid #8886; padding-top: 1rem; }
p { margin: .3rem 0 .8rem; max-width: 75ch; }
.row { display: flex; gap: .6rem; align-items: center; margin: .5rem 0; }
.row > span { flex: 0 0 11rem; } .row small { display: block; opacity: .7; }
.row div { display: flex; gap: .4rem; flex-wrap: wrap; }
img { height: 150px; border-radius: 6px; display: block; }
code { background: #8883; padding: .1em .3em; border-radius: 4px; }
"""


@dataclass(frozen=True)
class Row:
    """Pictures beside what they are."""

    label: str
    detail: str
    pictures: Sequence[Path]


@dataclass(frozen=True)
class Section:
    """One workflow's part of the page."""

    title: str
    text: str
    rows: Sequence[Row]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The ``demo`` command's own arguments."""
    parser.add_argument("--out", type=Path, default=Path("output/demo"), help="folder (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def main(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""
    started = time.monotonic()
    try:
        page = run_demo(args.out, Quiet() if args.quiet else TerminalBar())
    except StoppedRunError as stopped:
        sys.stderr.write(f"{stopped}\n")
        return 130
    except (WorkflowError, NodeFailedError, OSError) as error:
        sys.stderr.write(f"the demo failed: {error}\n")
        return 1
    sys.stdout.write(f"Done in {time.monotonic() - started:.0f} s. Open {page.resolve()}\n")
    return 0


def run_demo(out: Path, reporter: Reporter) -> Path:
    """Run the workflows into folders of ``out`` and write the page; returns its path."""
    sections = []
    for name, describe in (
        ("take_a_picture_apart", apart),
        ("see_where_words_land", words),
        ("erase_a_concept", erased),
    ):
        for old in (out / name).glob("*.png"):
            old.unlink()
        reporter.note(TITLES[name])
        sections.append(
            describe(
                run_workflow(
                    WORKFLOWS / f"{TITLES[name]}.json", out=out / name, nodes=HEADLESS_NODES, reporter=reporter
                )
            )
        )
    page = out / "index.html"
    with atomic_write(page) as temporary:
        temporary.write_text(render(sections, out), encoding="utf-8")
    return page


def apart(result: RunResult) -> Section:
    """The page's part on localising and learning."""
    name = result.graph[_node(result, "LoadImage")].inputs["image"]
    overlay = result.files_of("Save: the overlay")
    source = overlay[0].parent / f"source_{name}"
    shutil.copyfile(WORKFLOWS / "input" / name, source)
    prompts = [n for n in result.graph.values() if n.class_type == "ConceptAtelierEncodeConceptPrompt"]
    drawn = {node.title.removeprefix("Prompt: "): str(node.inputs["text"]) for node in prompts}
    rows = [
        Row("the picture", "a scene that training never saw", [source]),
        Row("its concepts", "what was found in it", overlay),
        *(Row(what, text, result.files_of(f"Save: {what}")) for what, text in drawn.items()),
    ]
    return Section(
        "A picture taken apart, learnt, recomposed",
        "The model's attention is clustered into concepts; a token is learnt for each; prompts then use the tokens.",
        rows,
    )


def words(result: RunResult) -> Section:
    """The page's part on word heatmaps."""
    pictures, heat = result.files_of("Save: the pictures"), result.files_of("Save: the maps")
    shown = result.graph[_node(result, "ConceptAtelierShowWordHeatmap")].inputs["words"]
    words_shown = [word.strip() for word in shown.split(",")]
    prompt = result.graph[_node(result, "PrimitiveStringMultiline")].inputs["value"]
    rows = [Row("drawn", str(prompt), pictures)]
    for index, word in enumerate(words_shown):
        rows.append(
            Row(f"“{word}”", "the attention to this word", heat[index * len(pictures) : (index + 1) * len(pictures)])
        )
    return Section(
        "Where words land",
        "While the picture is drawn, the attention of every cell to each word is recorded.",
        rows,
    )


def erased(result: RunResult) -> Section:
    """The page's part on erasing."""
    rows = [
        Row(f"“a photo of a {word}”", when, result.files_of(f"Save: {word} {when}"))
        for word in ("cat", "dog", "rocket")
        for when in ("before", "after")
    ]
    return Section(
        "The cat erased from the model",
        "The same seeds before and after. No training: the text projections are changed in closed form.",
        rows,
    )


def render(sections: Sequence[Section], out: Path) -> str:
    """The page as HTML, pictures by relative path."""
    body = "\n".join(_section(section, out) for section in sections)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Concept Atelier: demo</title>\n'
        f"<style>{STYLE}</style>\n<h1>Concept Atelier</h1>\n<p>What <code>make demo</code> drew with the lab model "
        f"that ships with the pack, by running three workflow files.</p>\n{body}\n</html>\n"
    )


def _section(section: Section, out: Path) -> str:
    rows = "\n".join(_row(row, out) for row in section.rows)
    return f"<h2>{html.escape(section.title)}</h2>\n<p>{html.escape(section.text)}</p>\n{rows}"


def _row(row: Row, out: Path) -> str:
    pictures = "".join(
        f'<img src="{html.escape(Path(relpath(path, out)).as_posix())}" alt="{html.escape(row.label)}">'
        for path in row.pictures
    )
    label = f"<span>{html.escape(row.label)}<small>{html.escape(row.detail)}</small></span>"
    return f'<div class="row">{label}<div>{pictures}</div></div>'


def _node(result: RunResult, kind: str) -> str:
    return next(key for key, node in result.graph.items() if node.class_type == kind)
