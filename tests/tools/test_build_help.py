"""Help pages are those of the nodes as they are, in every language."""

from concept_atelier.core.learn.registry import METHODS as LEARNING
from concept_atelier.tools.build_help import FOLDER, HEADINGS, METHODS_PAGE, methods_page, pages
from concept_atelier.tools.locales import SOURCE, languages


def test_every_node_has_its_pages_and_there_are_no_others():
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.md")} == set(pages())


def test_pages_are_up_to_date():
    stale = [path for path, text in pages().items() if (FOLDER / path).read_text("utf-8") != text]
    assert not stale, "run python -m concept_atelier.tools.build_help"


def test_every_language_has_its_headings():
    assert set(HEADINGS) == {SOURCE, *languages()}


def test_pages_show_texts_and_not_messages():
    assert not any("{'" in text for text in pages().values())
    assert "{} is where concepts go" in pages()["ConceptAtelierLearnConceptTokens.md"]


def test_methods_say_what_they_need_and_cost():
    learning, finding = (pages()[f"ConceptAtelier{name}.md"] for name in ("LearnConceptTokens", "LocalizeConcepts"))
    attencraft = learning[learning.index("- **AttenCraft**") :].split("\n- ")[0]
    settings = LEARNING["attencraft"].preset("small")
    assert "Needs masks." in attencraft and f"  - `small`: {settings.cost}." in attencraft.splitlines()
    assert "`small`: 8 passes and clustering" in finding and "`paper`: 1 pass and clustering" in finding


def test_presets_of_one_cost_share_a_line():
    training = pages()["ConceptAtelierTrainErasure.md"]
    assert "  - `small`, `small_transformer`: for each concept: 60 steps on 2 pictures" in training


def test_the_table_of_methods_is_up_to_date():
    assert METHODS_PAGE.read_text(encoding="utf-8") == methods_page(), "run python -m concept_atelier.tools.build_help"
    assert all(f"| `{name}` | picture" in methods_page() for name in LEARNING)
