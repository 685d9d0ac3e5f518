"""What the README promises: its example runs, its links lead somewhere, and it stays short."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from concept_atelier.host.workflow.overrides import apply_overrides
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.nodes.headless import HEADLESS_NODES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def example():
    """The README's Python, with fewer steps."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    short, replaced = re.subn(r"\bsteps=\d+", "steps=2", code)
    assert replaced == 2
    return short


def test_the_example_runs_and_draws_a_picture(tmp_path, monkeypatch):
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    monkeypatch.chdir(tmp_path)
    exec(compile(example(), "README.md", "exec"), {})  # noqa: S102
    with Image.open(tmp_path / "together.png") as picture:
        assert picture.size == (128, 128)
        assert len(picture.getcolors(2**14) or range(2**14)) > 100


def test_the_example_is_short():
    lines = [line for line in example().splitlines() if line and not line.startswith(("from", "import"))]
    assert len(lines) <= 12


def test_the_page_is_short_and_installation_comes_early():
    lines = README.splitlines()
    assert len(lines) <= 160
    assert lines.index("## Install") < 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [target.partition("#")[0] for target in targets if not target.startswith(("http", "#"))]
    assert not [target for target in local if not (page.parent / target).exists()]


def headings(page):
    """The names by which a page's headings are linked to, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = (title.lower().strip() for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_into_pages_lead_to_headings(page):
    linked = re.findall(r"\]\(((?!http)[^)\s#]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    ends = [(page.parent / file if file else page, heading) for file, heading in linked]
    assert not [heading for file, heading in ends if heading not in headings(file)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    named = re.findall(
        r"`((?:core|host|nodes|lab|bench|tests|web|locales|workflows|docs)/[^`\s<*]+)`", page.read_text("utf-8")
    )
    assert not [name for name in named if not (ROOT / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_workflows_and_inputs_that_are_there(page):
    registry = Registry(HEADLESS_NODES)
    for command in re.findall(r"-m concept_atelier run ([^`\n]+)", page.read_text(encoding="utf-8")):
        file, *arguments = shlex.split(command)
        if not file.startswith("workflows/"):
            continue
        graph, _ = load_workflow(ROOT / file).read(registry)
        for target in (one.partition("=")[0] for one in arguments if "." in one.partition("=")[0]):
            apply_overrides(graph, {target: "some.png"}, registry)


def test_every_workflow_is_in_the_table():
    names = {path.stem for path in (ROOT / "workflows").glob("*.json")}
    page = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([^`]+)` \| [^`]*$", page, re.MULTILINE))
    assert {name.partition(" (")[0] for name in names} == listed
