"""Every word of every node, in every language: nothing stale, nothing missing, nothing that breaks the front end."""

import json
import re

import pytest

from concept_atelier.host.workflow.registry import Registry
from concept_atelier.nodes import NODES
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.tools import build_locales
from concept_atelier.tools.build_locales import known_hashes, renewed
from concept_atelier.tools.locales import (
    FOLDER,
    OWN_TYPES,
    SOURCE,
    escape,
    hashed,
    hashes_now,
    is_escaped,
    languages,
    node_words,
    read,
    shared_words,
    stale,
    texts,
    unescape,
)

ENGLISH = node_words()

QUOTED = re.compile("„([^“]*)“|« (.*?) »")
OTHERS_QUOTED = {"background", "CLIP Text Encode", "CLIP Vision laden", "Charger CLIP Vision"}
"""What is quoted beside words of the pack: what a prompt says, and titles of ComfyUI's own nodes."""

every_language = pytest.mark.parametrize("language", languages())


def leaves(words):
    """(path, text) of every text."""
    return ((tuple(path.split(".")), text) for path, text in texts(words))


def test_english_is_what_the_nodes_say_today():
    stale = [n for n, text in build_locales.files().items() if (FOLDER / SOURCE / n).read_text("utf-8") != text]
    assert not stale, "run python -m concept_atelier.tools.build_locales"


def test_english_has_the_names_of_the_schemas():
    for node in NODES:
        schema, words = node.GET_SCHEMA(), ENGLISH[node.GET_SCHEMA().node_id]
        assert unescape(words["display_name"]) == schema.display_name
        assert unescape(words["description"]) == schema.description
        assert {key: unescape(of["tooltip"]) for key, of in words.get("inputs", {}).items()} == {
            entry.id: entry.as_dict()["tooltip"] for entry in schema.inputs
        }
        assert [unescape(of["name"]) for of in words["outputs"].values()] == [o.display_name for o in schema.outputs]


def test_there_is_a_second_language():
    assert "de" in languages()


@every_language
def test_no_node_input_or_output_is_missing_or_left_over(language):
    wanted = {path for path, _ in leaves(ENGLISH)}
    given = {path for path, _ in leaves(read(language))}
    assert not wanted - given, "to translate"
    assert not given - wanted, "no longer there"


@every_language
def test_shared_words_are_all_there(language):
    assert {path for path, _ in leaves(read(language, "main"))} == {path for path, _ in leaves(shared_words())}


@every_language
def test_sentences_are_translated(language):
    english = dict(leaves(ENGLISH))
    copied = [path for path, text in leaves(read(language)) if path[-1] != "name" and text == english[path]]
    assert not copied


@every_language
def test_no_translation_is_stale(language):
    assert not stale(hashes_now(language), known_hashes(language)), (
        "their English has changed: translate them anew, or say build_locales --accept where they still fit"
    )


@every_language
def test_every_translation_is_recorded(language):
    assert known_hashes(language) == hashes_now(language), "run python -m concept_atelier.tools.build_locales"


def test_a_text_is_stale_from_a_change_of_its_english_to_a_change_of_its_translation():
    def pair(english, translation):
        return {"a.tooltip": f"{hashed(english)} {hashed(translation)}"}

    known = pair("A cat.", "Eine Katze.")
    assert not stale(known, known)
    changed = pair("Two cats.", "Eine Katze.")
    assert stale(changed, known) == ["a.tooltip"]
    assert renewed(changed, known) == known, "a build does not hide it"
    assert renewed(changed, known, ["a.tooltip"]) == changed
    translated = pair("Two cats.", "Zwei Katzen.")
    assert not stale(translated, known) and renewed(translated, known) == translated
    assert renewed(pair("A cat.", "Eine Mieze."), known) == pair("A cat.", "Eine Mieze.")
    assert renewed(known, {}) == known, "a new text is taken as translated from today's English"


@every_language
def test_no_two_nodes_have_the_same_name(language):
    names = [words["display_name"] for words in read(language).values()]
    assert len(set(names)) == len(names)


@every_language
def test_nodes_inputs_and_outputs_are_called_what_that_language_calls_them(language):
    theirs = dict(leaves(read(language)))
    names = {text for path, text in theirs.items() if path[-1] in ("display_name", "name")}
    quoted = {found[1] or found[2] for text in theirs.values() for found in QUOTED.finditer(text)}
    assert not quoted - names - OTHERS_QUOTED
    titles = {words["display_name"] for words in ENGLISH.values()} - names
    english = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(titles)))})\b")
    assert not {found[0] for text in theirs.values() for found in english.finditer(text)}


@every_language
def test_values_that_must_be_typed_are_kept(language):
    """Options of combos and examples of prompts stand in texts as they must be written."""
    english, theirs = dict(leaves(ENGLISH)), dict(leaves(read(language)))
    for text in ("small:", "faithful_small", "<apple>", "1+3, 2+4", "embedding:name", "atelier/apple"):
        for path, said in english.items():
            assert text not in said or text.rstrip(":") in theirs[path], path


@pytest.mark.parametrize("language", [SOURCE, *languages()])
def test_no_text_is_taken_for_syntax_by_the_front_end(language):
    for name in ("main", "nodeDefs"):
        for path, text in leaves(read(language, name)):
            assert text.strip() == text and text, path
            assert is_escaped(text), path


def test_escaping_can_be_undone():
    text = "a {} and {x} @ home | 5 $"
    assert not is_escaped(text)
    assert is_escaped(escape(text)) and unescape(escape(text)) == text
    assert escape("plain <b> text") == "plain <b> text"


def test_our_socket_types_are_those_the_nodes_have():
    registry = Registry(HEADLESS_NODES)
    stock = {"MODEL", "CLIP", "VAE", "IMAGE", "MASK", "LATENT", "CONDITIONING", "CLIP_VISION", "NOISE", "*"}
    stock |= {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "BOUNDING_BOX", "CLIP_VISION_OUTPUT"}
    used = {
        entry.get_io_type()
        for node in NODES
        for entry in (*registry.schema(node.GET_SCHEMA().node_id).inputs, *node.GET_SCHEMA().outputs)
    }
    assert used - stock == set(OWN_TYPES)


def test_files_end_in_a_line_and_are_read_as_utf8():
    for path in FOLDER.glob("*/*.json"):
        text = path.read_text(encoding="utf-8")
        assert text.endswith("}\n") and json.loads(text)
