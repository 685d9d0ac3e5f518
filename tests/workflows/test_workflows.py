"""Every workflow that ships: as the builder writes it, sound, and walked to its end headless, made small."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.page_nodes import VIRTUAL
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.tools import build_workflows
from concept_atelier.tools.build_workflows import FOLDER, WORKFLOWS
from concept_atelier.tools.workflow.input_pictures import PICTURES as SCENES
from concept_atelier.tools.workflow.variants import LAB_TRANSFORMER

ON_LAB = sorted(name for name, (_, variant) in WORKFLOWS.items() if variant.is_lab)

every_file = pytest.mark.parametrize("name", sorted(WORKFLOWS))
every_workflow = pytest.mark.parametrize("name", ON_LAB)

PREFIX = "ConceptAtelier"

# What each leaves below its output folder: stem of a picture to how many, and model files.
PICTURES = {
    "See where words land": {"words_pictures": 1, "words_maps": 3},
    "Erase a concept": {f"{w}_{t}": 1 for w in ("cat", "dog", "rocket") for t in ("before", "after")},
    "Erase a style": {f"{s}_{t}": 1 for s in ("neon", "sketch", "plain") for t in ("before", "after")},
    "Train an erasure": {f"trained_{w}_{t}": 1 for w in ("cat", "dog") for t in ("before", "after")},
    "Take a picture apart": {f"apart_{part}": 1 for part in ("overlay", "first", "scene")},
    "Learn from two pictures": {f"two_{part}": 1 for part in ("overlay", "first", "together")},
    "Compose learnt things": {"unplaced": 1, "placed": 1, "placed_sheet": 1},
    "Two LoRAs in one picture": {"two_tokens": 1, "two_loras": 1},
    "Edit by words": {"edit_before": 1, "edit_after": 1, "edit_maps": 3},
    "Which word did what": {"which_masks": 1, "which_sheet": 1},
    "Score concepts": {"score_overlay": 1, "score_sheet": 1, "score_sources": 2},
    "What is this folder made of": {"folder_gallery": 1, "folder_overlay": 1, "folder_masks": 2},
    "Masks of an ingredient in a new picture": {
        part: 1 for part in ("all_rows", "one_overlay", "one_mask", "one_painted")
    },
    "Take an ingredient out": {"all_rows": 1}
    | {f"{word}_{way}": 1 for word in ("horse", "lemon") for way in ("with", "without")},
    "What did my LoRA change": {"lora_without": 2, "lora_with": 2, "lora_sheet": 1},
    "Find my subject in a folder and crop it": {"subject_sheet": 1, "subject_crops": 3},
    "Pick the best of a batch and say why": {"best_picture": 1, "best_sheet": 1},
    "What do I like": {"taste_chart": 1, "taste_sheet": 1},
    "Complete and lint the captions of a training folder": {"captions_sheet": 1},
    "Guard against a concept": {f"{w}_{t}": 1 for w in ("cat", "dog") for t in ("plain", "guarded")},
    "Purify a picture": {f"purify_{part}": 1 for part in ("again", "picture", "place")},
    "Weight phrases": {"phrases_plain": 1, "phrases_with": 1, "phrases_maps": 2},
    "Attack an erasure and report": {"erasure_page": 1, "attacks": 1},
    "Will these two LoRAs fight": {f"merge_{part}": 1 for part in ("overlap", "plain", "first", "second", "both")},
    "Slim a fine-tune": {f"slim_{part}": 1 for part in ("page", "before", "after")},
    "From folder to checked LoRA": {"train_captions": 1, "train_masks": 6, "train_map": 1, "train_pictures": 1},
}

ON_TRANSFORMER = tuple(name for name in ON_LAB if name.endswith(LAB_TRANSFORMER.suffix))
PICTURES |= {name: PICTURES[name.removesuffix(LAB_TRANSFORMER.suffix)] for name in ON_TRANSFORMER}

REPORTS = {
    "Compose learnt things": {"scores/composition_00001_.csv", "scores/composition_00001_.json"},
    "Score concepts": {"scores/concepts_00001_.csv", "scores/concepts_00001_.json"},
    "Attack an erasure and report": {"reports/erasure_00001_.csv", "reports/erasure_00001_.json"},
    "Complete and lint the captions of a training folder": {f"captions/{number:02}.txt" for number in range(1, 7)},
}

MODELS = {
    "See where words land": set(),
    "Erase a concept": {"loras/atelier/erased.safetensors"},
    "Erase a style": set(),
    "Train an erasure": {"loras/atelier/trained.safetensors"},
    "Take a picture apart": {f"embeddings/atelier/{number}.safetensors" for number in (1, 2)},
    "Learn from two pictures": set(),
    "Compose learnt things": set(),
    "Two LoRAs in one picture": {
        f"{folder}{word}.safetensors" for folder in ("loras/", "embeddings/atelier/") for word in ("cat", "rocket")
    },
    "Edit by words": set(),
    "Which word did what": set(),
    "Score concepts": set(),
    "What is this folder made of": {"ingredients/atelier/ingredients.safetensors"},
    "Masks of an ingredient in a new picture": set(),
    "Take an ingredient out": set(),
    "What did my LoRA change": set(),
    "Find my subject in a folder and crop it": {"ingredients/atelier/subject.safetensors"},
    "Pick the best of a batch and say why": set(),
    "What do I like": {"concept_heads/atelier/taste.safetensors"},
    "Complete and lint the captions of a training folder": set(),
    "Guard against a concept": set(),
    "Purify a picture": set(),
    "Weight phrases": set(),
    "Attack an erasure and report": set(),
    "Will these two LoRAs fight": set(),
    "Slim a fine-tune": {"loras/atelier/slim.safetensors", "skills/atelier/skill.safetensors"},
    "From folder to checked LoRA": {f"{folder}/atelier/robot.safetensors" for folder in ("loras", "embeddings")},
}
MODELS |= {name: MODELS[name.removesuffix(LAB_TRANSFORMER.suffix)] for name in ON_TRANSFORMER}
MODELS["Take a picture apart (lab transformer)"] = MODELS["Take a picture apart"] | {
    "loras/atelier/adapter.safetensors"
}


@pytest.fixture(scope="module")
def walked(tmp_path_factory, overrides_of):
    """Each workflow run once, made small, over the lab model's shipped weights."""
    done = {}

    def walk(name):
        if name not in done:
            out = tmp_path_factory.mktemp(name)
            with folders.use(folders.headless(out, (FOLDER / "input",))):
                overrides = overrides_of(name)
            done[name] = run_workflow(FOLDER / f"{name}.json", overrides, out, nodes=HEADLESS_NODES), out
        return done[name]

    return walk


def test_every_workflow_is_named_here_with_what_it_makes():
    assert set(ON_LAB) == set(PICTURES) == set(MODELS)
    assert {path.stem for path in FOLDER.glob("*.json")} == set(WORKFLOWS)


@every_file
def test_the_file_is_what_the_builder_writes_today(name):
    assert build_workflows.workflow(name) == (FOLDER / f"{name}.json").read_text(encoding="utf-8"), (
        "rebuild with: python -m concept_atelier.tools.build_workflows"
    )


@pytest.mark.parametrize("name", sorted(SCENES))
def test_input_pictures_are_scenes_that_training_never_saw(name):

    from concept_atelier.lab.world.scene import SceneSettings, sample_scene

    scene = sample_scene("test", SCENES[name], SceneSettings(counts=(2,), patterned=0, tinted=0))
    with Image.open(FOLDER / "input" / name) as picture:
        assert np.array_equal(np.asarray(picture.convert("RGB")), scene.picture)


@every_file
def test_nothing_limits_what_is_found(name, registry):
    """A picture of three things gives three concepts, unless someone says how many there are."""
    graph = load_workflow(FOLDER / f"{name}.json").graph(registry)
    found = [node for node in graph.values() if node.class_type == "ConceptAtelierLocalizeConcepts"]
    assert all(node.inputs["max_concepts"] == 0 for node in found)
    assert all(node.inputs["count"] == (0 if name in ON_LAB else 2) for node in found)


@every_workflow
def test_every_node_is_known_and_the_graph_is_sound(name, registry, blocks_of, nodes_of):
    workflow = load_workflow(FOLDER / f"{name}.json")
    blocks = {definition["id"] for definition in blocks_of(workflow.data)}
    assert {node["type"] for node in nodes_of(workflow.data)} <= set(registry) | VIRTUAL | blocks
    checked = check(workflow.graph(registry), registry)
    assert any(node.class_type.startswith(PREFIX) for node in checked.values())


@every_workflow
def test_its_pictures_are_in_the_repository(name, data_of):
    wanted = [node["widgets_values"][0] for node in data_of(name)["nodes"] if node["type"] == "LoadImage"]
    for picture in wanted:
        with Image.open(FOLDER / "input" / picture) as opened:
            opened.verify()


@every_workflow
def test_it_walks_to_its_end_and_leaves_what_it_says(name, walked):
    result, out = walked(name)
    assert not result.blocked and not result.warnings
    written = sorted(path.relative_to(out).as_posix() for path in result.files if "temp" not in path.parts)
    counts = PICTURES[name]
    pictures = [f"{stem}_{number:05}_.png" for stem, count in counts.items() for number in range(1, count + 1)]
    assert written == sorted([*pictures, *(f"models/{model}" for model in MODELS[name]), *REPORTS.get(name, ())])
    on_disk = {path for path in out.rglob("*") if path.is_file()}
    assert on_disk == set(result.files)


@every_workflow
def test_its_pictures_hold_something_and_carry_the_workflow(name, walked, data_of):
    result, out = walked(name)
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            low, high = picture.convert("L").getextrema()
            assert high > low, path.name
            assert json.loads(picture.info["workflow"]) == data_of(name)
            assert json.loads(picture.info["prompt"])


def test_erasing_changes_the_picture_of_the_erased_word(walked):
    _, out = walked("Erase a concept")
    before, after = ((out / f"cat_{when}_00001_.png").read_bytes() for when in ("before", "after"))
    with Image.open(out / "cat_before_00001_.png") as one, Image.open(out / "cat_after_00001_.png") as two:
        assert one.tobytes() != two.tobytes()
    assert before != after


def test_the_tokens_that_were_saved_are_those_that_were_learnt(walked):
    from concept_atelier.core.files import load_tensors

    result, out = walked("Take a picture apart")
    tokens = result.output("ConceptAtelierLearnConceptTokens")
    assert tokens.names == ("1", "2") and len(tokens.losses) == 2
    saved, _ = load_tensors(out / "models/embeddings/atelier/2.safetensors")
    assert torch.equal(saved["emb_params"], tokens.vectors["2"]["clip_l"])


def test_the_same_run_again_draws_the_same_pictures(walked, tmp_path, overrides_of):
    first, out = walked("See where words land")
    with folders.use(folders.headless(tmp_path, (FOLDER / "input",))):
        overrides = overrides_of("See where words land")
    run_workflow(FOLDER / "See where words land.json", overrides, tmp_path, nodes=HEADLESS_NODES)
    for path in out.glob("*.png"):
        with Image.open(path) as one, Image.open(tmp_path / path.name) as two:
            assert one.tobytes() == two.tobytes()
