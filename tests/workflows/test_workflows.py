"""Every workflow that ships: as the builder writes it, sound, and walked to its end headless, made small."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.execution import NodeFailedError
from concept_atelier.host.workflow.graph import GraphNode, Link, WorkflowError
from concept_atelier.host.workflow.page_nodes import VIRTUAL
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.host.workflow.ui_format import is_ui_format
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.tools import build_workflows
from concept_atelier.tools.workflow.foreign import drawing_registry
from concept_atelier.tools.workflow.input_pictures import PICTURES as SCENES
from concept_atelier.tools.workflow.layout import TITLE
from concept_atelier.tools.workflow.variants import CHECKPOINT, VARIANTS, Z_IMAGE

FOLDER = build_workflows.FOLDER
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
VARIANT_OF = {name: variant for variant in VARIANTS for name in NAMES if name.endswith(variant.suffix)}
"""The last variant whose suffix fits: the lab's is empty."""
TWINS = [name for name in NAMES if not VARIANT_OF[name].is_lab]
ON_LAB = [name for name in NAMES if name not in TWINS]
PREFIX = "ConceptAtelier"

# What each leaves below its output folder: stem of a picture to how many, and model files.
PICTURES = {
    "See where words land": {"words_pictures": 1, "words_maps": 3},
    "Erase a concept": {f"{w}_{t}": 1 for w in ("cat", "dog", "rocket") for t in ("before", "after")},
    "Erase a style": {f"{s}_{t}": 1 for s in ("neon", "sketch", "plain") for t in ("before", "after")},
    "Take a picture apart": {f"apart_{part}": 1 for part in ("overlay", "first", "scene")},
    "Learn from two pictures": {f"two_{part}": 1 for part in ("overlay", "first", "together")},
    "Compose learnt things": {"unplaced": 1, "placed": 1},
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
    "Find my subject in a folder and crop it": {"subject_sheet": 1, "subject_crops": 4},
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
REPORTS = {
    "Score concepts": {"scores/concepts_00001_.csv", "scores/concepts_00001_.json"},
    "Attack an erasure and report": {"reports/erasure_00001_.csv", "reports/erasure_00001_.json"},
    "Complete and lint the captions of a training folder": {f"captions/{number:02}.txt" for number in range(1, 7)},
}
MODELS = {
    "See where words land": set(),
    "Erase a concept": {"loras/atelier/erased.safetensors"},
    "Erase a style": set(),
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
SMALL = {
    ("KSampler", "steps"): 1,
    ("EmptyLatentImage", "batch_size"): 1,
    ("EmptyLatentImage", "width"): 96,
    ("EmptyLatentImage", "height"): 64,
    ("ConceptAtelierLearnConceptTokens", "steps"): 2,
    ("ConceptAtelierLearnConceptTokens", "preview_every"): 0,
    ("ConceptAtelierScoreConcepts", "draws"): 1,
    ("ConceptAtelierLoadPictureFolder", "limit"): 6,
    ("ConceptAtelierFindIngredients", "count"): 2,
    ("ConceptAtelierFindIngredients", "method"): "kmeans",
    ("ConceptAtelierIngredientMasks", "ingredients"): "1, 2",
    ("ConceptAtelierIngredientMasks", "threshold"): 0.0,
    ("ConceptAtelierSteerIngredients", "ingredients"): "1",
    ("ConceptAtelierEditByWords", "steps"): 2,
    ("ConceptAtelierShowWordInformation", "draws"): 1,
    ("ConceptAtelierCompareWords", "levels"): 1,
    ("ConceptAtelierCompareWords", "draws"): 1,
    ("ConceptAtelierScoreConcepts", "steps"): 1,
    ("ConceptAtelierInvertPicture", "steps"): 2,
    ("ConceptAtelierAttackErasure", "scenarios"): "text",
    ("ConceptAtelierAttackErasure", "settings"): "draws=1, steps=1",
    ("ConceptAtelierErasureReport", "settings"): "draws=2, steps=1",
    ("ConceptAtelierPurifyPicture", "steps"): 2,
    ("ConceptAtelierPurifyPicture", "settings"): "draws=1",
    ("ConceptAtelierGraftSkill", "settings"): "draws=1, steps=2",
    ("ConceptAtelierGraftSkill", "shares"): "5, 50",
    # Whatever the weights are worth, two concepts are found, so that the prompts have their tokens.
    ("ConceptAtelierLocalizeConcepts", "count"): 2,
    ("ConceptAtelierLocalizeConcepts", "saliency_threshold"): 0.0,
    ("ConceptAtelierLocalizeConcepts", "adjacency"): False,
}

SMALL_TOO = {
    "What did my LoRA change": {("EmptyLatentImage", "batch_size"): 2},
    "Masks of an ingredient in a new picture": {("ConceptAtelierIngredientMasks", "ingredients"): "1"},
}
"""What single workflows need beside, or instead."""
LOADERS = {
    "CheckpointLoaderSimple": "ConceptAtelierLoadLabModel",
    "CLIPVisionLoader": "ConceptAtelierLoadLabClipVision",
}
"""Of a twin, and what its lab workflow has in their place."""
FINE_TUNES = {"Will these two LoRAs fight": 2, "Slim a fine-tune": 1, "What did my LoRA change": 1}
"""Workflows whose twins load LoRA files, and how many; on the lab model Erase Concepts makes the fine-tunes."""
SIDES = {CHECKPOINT.suffix: 512, Z_IMAGE.suffix: 1024}
FIRST_LOADERS = {CHECKPOINT.suffix: "CheckpointLoaderSimple", Z_IMAGE.suffix: "UNETLoader"}

OWN_SIZES = ("ConceptAtelierEditByWords", "ConceptAtelierLoadPictureFolder")
"""Nodes of ours that say how large pictures are."""

every_file = pytest.mark.parametrize("name", NAMES)
every_twin = pytest.mark.parametrize("name", TWINS)
every_workflow = pytest.mark.parametrize("name", ON_LAB)


def data_of(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def definitions_of(data):
    return data.get("definitions", {}).get("subgraphs", [])


def nodes_of(data):
    """All nodes, those inside of subgraphs too."""
    return [*data["nodes"], *(node for definition in definitions_of(data) for node in definition["nodes"])]


def box_of(node):
    """Of a node with its title: left, top, width, height."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, width, TITLE + (0 if node["flags"].get("collapsed") else height)


def is_inside(box, other):
    return all(other[a] <= box[a] and box[a] + box[a + 2] <= other[a] + other[a + 2] for a in (0, 1))


@pytest.fixture
def registry(tmp_path):
    with folders.use(folders.headless(tmp_path, (FOLDER / "input",))):
        yield Registry(HEADLESS_NODES)


def small(name, registry):
    """Overrides that make a workflow quick."""
    graph = load_workflow(FOLDER / f"{name}.json").graph(registry)
    return {
        f"{key}.{entry}": value
        for key, node in graph.items()
        for (kind, entry), value in (SMALL | SMALL_TOO.get(name, {})).items()
        if node.class_type == kind
    }


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Each workflow run once, made small, over the lab model's shipped weights."""
    done = {}

    def walk(name):
        if name not in done:
            out = tmp_path_factory.mktemp(name)
            with folders.use(folders.headless(out, (FOLDER / "input",))):
                overrides = small(name, Registry(HEADLESS_NODES))
            done[name] = run_workflow(FOLDER / f"{name}.json", overrides, out, nodes=HEADLESS_NODES), out
        return done[name]

    return walk


def test_there_are_the_three_workflows_and_nothing_is_forgotten_here():
    assert set(ON_LAB) == set(PICTURES) == set(MODELS)
    assert set(NAMES) == set(build_workflows.WORKFLOWS)


def test_every_workflow_has_its_twin():
    assert {f"{name}{CHECKPOINT.suffix}" for name in ON_LAB} <= set(TWINS)


def test_words_parts_and_erasing_have_a_twin_for_a_transformer():
    shown = {name.removesuffix(Z_IMAGE.suffix) for name in TWINS if VARIANT_OF[name] is Z_IMAGE}
    assert shown == {"See where words land", "Take a picture apart", "Erase a concept"}


@every_file
def test_the_file_is_what_the_builder_writes_today(name):
    assert build_workflows.workflow(name) == (FOLDER / f"{name}.json").read_text(encoding="utf-8"), (
        "rebuild with: python -m concept_atelier.tools.build_workflows"
    )


@pytest.mark.parametrize("name", sorted(SCENES))
def test_input_pictures_are_scenes_that_training_never_saw(name):
    import numpy as np

    from concept_atelier.lab.world.scene import SceneSettings, sample_scene

    scene = sample_scene("test", SCENES[name], SceneSettings(counts=(2,), patterned=0, tinted=0))
    with Image.open(FOLDER / "input" / name) as picture:
        assert np.array_equal(np.asarray(picture.convert("RGB")), scene.picture)


@every_file
def test_it_is_in_the_format_people_share_and_its_wires_agree(name):
    data = data_of(name)
    assert is_ui_format(data) and data["version"] == 0.4
    nodes = {node["id"]: node for node in data["nodes"]}
    ids = [node["id"] for node in nodes_of(data)]
    assert len(set(ids)) == len(ids) and max(ids) == data["last_node_id"]
    for number, source, slot, target, entry, kind in data["links"]:
        assert number in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][entry]["link"] == number
        assert nodes[source]["outputs"][slot]["type"] == nodes[target]["inputs"][entry]["type"] == kind
    wired = [entry["link"] for node in nodes.values() for entry in node["inputs"] if entry["link"] is not None]
    assert sorted(wired) == [link[0] for link in data["links"]]


IN_FRENCH = {
    "LoadImage": 294, "ConceptAtelierMatchConcepts": 253, "ConceptAtelierLearnConceptTokens": 267,
    "ConceptAtelierEncodeConceptPrompt": 253, "ConceptAtelierEraseConcepts": 240,
}  # fmt: skip
"""To how many pixels the classic view widens nodes whose words are long; those that are narrower stay as they are."""


@every_file
def test_no_two_nodes_lie_on_each_other(name):
    data = data_of(name)
    for canvas in (data["nodes"], *(definition["nodes"] for definition in definitions_of(data))):
        boxes = [
            (x, y, max(width, 0 if node["flags"].get("collapsed") else IN_FRENCH.get(node["type"], 0)), height)
            for node in canvas
            for x, y, width, height in [box_of(node)]
        ]
        for index, (x, y, width, height) in enumerate(boxes):
            for left, top, wide, high in boxes[:index]:
                assert x >= left + wide or left >= x + width or y >= top + high or top >= y + height


@every_file
def test_it_is_a_story_in_numbered_steps_each_with_a_note_and_a_colour(name):
    data = data_of(name)
    groups, notes = data["groups"], [node for node in data["nodes"] if node["type"] == "MarkdownNote"]
    assert len(groups) == len(notes) >= 3
    assert all(group["title"].startswith(f"{number} ") for number, group in enumerate(groups, 1))
    assert len({group["color"] for group in groups}) == len(groups)
    for node in data["nodes"]:
        holding = [group for group in groups if is_inside(box_of(node), group["bounding"])]
        assert len(holding) == 1, node.get("title") or node["type"]
    assert all("_" not in node.get("title", "") for node in nodes_of(data))


@every_file
def test_what_leaves_a_block_was_made_in_it(name):
    """The page sends no workflow in which a subgraph's output is one of its inputs."""
    for definition in definitions_of(data_of(name)):
        assert not [link for link in definition["links"] if link["origin_id"] < 0 and link["target_id"] < 0]


SCREEN, FILL, LETTERS, LEAST_LETTERS = (1366, 768), 0.75, 14, 8
"""A small laptop's; how much of it the page fills when it fits a graph into the view; the size of titles, and that
below which the classic view leaves them out."""


@every_file
def test_all_of_it_can_be_read_on_a_laptop(name):
    data = data_of(name)
    boxes = [box_of(node) for node in data["nodes"]] + [group["bounding"] for group in data["groups"]]
    left, top = (min(box[axis] for box in boxes) for axis in (0, 1))
    right, bottom = (max(box[axis] + box[axis + 2] for box in boxes) for axis in (0, 1))
    scale = min(FILL * SCREEN[0] / (right - left + 20), FILL * SCREEN[1] / (bottom - top + 20))
    assert scale * LETTERS > LEAST_LETTERS


@every_file
def test_no_wire_crosses_the_canvas(name):
    """A wire that is longer than a step and the next passes points on its way, none further than that from the next."""
    data = data_of(name)
    nodes = {node["id"]: node for node in data["nodes"]}
    points = {point["id"]: point for point in data["extra"].get("reroutes", [])}
    last = {end["id"]: end["parentId"] for end in data["extra"].get("linkExtensions", [])}
    assert {link for point in points.values() for link in point["linkIds"]} == set(last)
    for number, source, _, target, *_ in data["links"]:
        way, at = [nodes[target]["pos"][0]], last.get(number)
        while at is not None:
            assert number in points[at]["linkIds"]
            way.append(points[at]["pos"][0])
            at = points[at].get("parentId")
        way.append(nodes[source]["pos"][0] + nodes[source]["size"][0])
        assert number in last or way[0] - way[-1] < 100
        assert way[:-1] == sorted(way[:-1], reverse=True)


@every_file
def test_nothing_limits_what_is_found(name, registry):
    """A picture of three things gives three concepts, unless someone says how many there are."""
    graph = load_workflow(FOLDER / f"{name}.json").graph(registry)
    found = [node for node in graph.values() if node.class_type == "ConceptAtelierLocalizeConcepts"]
    assert all(node.inputs["max_concepts"] == 0 for node in found)
    assert all(node.inputs["count"] == (2 if name in TWINS else 0) for node in found)


@every_workflow
def test_every_node_is_known_and_the_graph_is_sound(name, registry):
    workflow = load_workflow(FOLDER / f"{name}.json")
    blocks = {definition["id"] for definition in definitions_of(workflow.data)}
    assert {node["type"] for node in nodes_of(workflow.data)} <= set(registry) | VIRTUAL | blocks
    checked = check(workflow.graph(registry), registry)
    assert any(node.class_type.startswith(PREFIX) for node in checked.values())


@every_twin
def test_a_twin_is_refused_for_its_loader_only(name, registry):
    graph = load_workflow(FOLDER / f"{name}.json").graph(registry)
    with pytest.raises(WorkflowError) as caught:
        check(graph, registry)
    problems = caught.value.problems
    missing = ("no folder", "my_lora.safetensors")
    assert all("unknown node class" in problem or any(one in problem for one in missing) for problem in problems)
    loaders = (FIRST_LOADERS[VARIANT_OF[name].suffix], "CLIPVisionLoader")  # a workflow may need no model to draw with
    assert any(f"unknown node class '{loader}'" in problem for problem in problems for loader in loaders)


@every_twin
def test_a_twin_with_its_loader_is_sound(name, tmp_path):
    pictures = tmp_path / "input"
    (pictures / "concepts").mkdir(parents=True)
    for folder in ("pictures", "liked", "disliked"):
        (pictures / folder).mkdir()
        Image.new("RGB", (64, 64)).save(pictures / folder / "1.png")
    Image.new("RGB", (64, 64)).save(pictures / "example.png")
    Image.new("RGB", (64, 64)).save(pictures / "concepts" / "cat.png")
    loras = tmp_path / "models" / "loras"
    loras.mkdir(parents=True)
    for which in ("first", "second", "my_lora"):
        (loras / f"{which}.safetensors").touch()
    with folders.use(folders.headless(tmp_path, (pictures,))):
        registry = drawing_registry()
        graph = load_workflow(FOLDER / f"{name}.json").graph(registry)
        for key, node in list(graph.items()):
            if node.class_type in LOADERS:
                graph[key] = GraphNode(key, LOADERS[node.class_type], "loader", {})
        check(with_lab_loader(graph), registry)


def with_lab_loader(graph):
    """The graph with the lab model in place of the loaders of a transformer's parts."""
    slots = {"ModelSamplingAuraFlow": 0, "CLIPLoader": 1, "VAELoader": 2}
    parts = {key: slots[node.class_type] for key, node in graph.items() if node.class_type in slots}
    if not parts:
        return graph
    kept = {key: node for key, node in graph.items() if key not in parts and node.class_type != "UNETLoader"}
    for key, node in kept.items():
        for name, link in node.links().items():
            if link.node in parts:
                kept[key] = kept[key].with_input(name, Link("lab", parts[link.node]))
    return {**kept, "lab": GraphNode("lab", "ConceptAtelierLoadLabModel", "loader", {})}


@every_twin
def test_a_twin_does_what_its_lab_workflow_does(name):
    """The same nodes of the pack and the same files, only other values."""
    registry = drawing_registry()

    def outline(stem):
        graph = load_workflow(FOLDER / f"{stem}.json").graph(registry)
        ours = sorted(node.class_type for node in graph.values() if node.class_type.startswith(PREFIX))
        return ours, sorted(n.inputs["filename_prefix"] for n in graph.values() if n.class_type == "SaveImage")

    on_lab = name.removesuffix(VARIANT_OF[name].suffix)
    (ours, files), (theirs, their_files) = outline(name), outline(on_lab)
    for _ in range(FINE_TUNES.get(on_lab, 0)):
        theirs.remove("ConceptAtelierEraseConcepts")
    assert ours == [kind for kind in theirs if kind not in LOADERS.values()]
    assert len(files) == len(their_files)
    sizes = {
        node.inputs["size" if node.class_type == "ConceptAtelierLoadPictureFolder" else "width"]
        for node in load_workflow(FOLDER / f"{name}.json").graph(registry).values()
        if node.class_type in ("EmptyLatentImage", "EmptySD3LatentImage", "ImageScale", *OWN_SIZES)
    }
    assert sizes <= {SIDES[VARIANT_OF[name].suffix]}  # other nodes take the size from their preset


@every_workflow
def test_its_pictures_are_in_the_repository(name):
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
def test_its_pictures_hold_something_and_carry_the_workflow(name, walked):
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


def test_the_same_run_again_draws_the_same_pictures(walked, tmp_path):
    first, out = walked("See where words land")
    with folders.use(folders.headless(tmp_path, (FOLDER / "input",))):
        overrides = small("See where words land", Registry(HEADLESS_NODES))
    run_workflow(FOLDER / "See where words land.json", overrides, tmp_path, nodes=HEADLESS_NODES)
    for path in out.glob("*.png"):
        with Image.open(path) as one, Image.open(tmp_path / path.name) as two:
            assert one.tobytes() == two.tobytes()


def without_link(data):
    """The workflow after someone pulled out the wire into Learn Concept Tokens' concepts."""
    node = next(n for n in data["nodes"] if n["type"] == "ConceptAtelierLearnConceptTokens")
    entry = next(e for e in node["inputs"] if e["name"] == "concepts")
    data["links"] = [link for link in data["links"] if link[0] != entry["link"]]
    entry["link"] = None


def with_unknown_node(data):
    next(n for n in nodes_of(data) if n["type"] == "KSampler")["type"] = "KSamplers"


def with_bad_value(data):
    node = next(n for n in nodes_of(data) if n["type"] == "KSampler")
    node["widgets_values"][2] = 0


def with_missing_picture(data):
    next(n for n in data["nodes"] if n["type"] == "LoadImage")["widgets_values"][0] = "gone.png"


def with_bad_prefix(data):
    node = next(n for n in data["nodes"] if n["type"] == "ConceptAtelierSaveConceptTokens")
    node["widgets_values"][0] = "../"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_link, '(ConceptAtelierLearnConceptTokens), input "concepts": expected CONCEPTS, got nothing'),
        (with_unknown_node, "unknown node class 'KSamplers'; did you mean KSampler?"),
        (with_bad_value, 'input "steps": expected at least 1, got 0'),
        (with_missing_picture, "no picture named 'gone.png'"),
        (with_bad_prefix, "prefix '../name' contains '..'"),
    ],
)
def test_a_damaged_workflow_is_refused_before_anything_runs(tmp_path, damage, message):
    data = data_of("Take a picture apart")
    damage(data)
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(data))
    with pytest.raises(WorkflowError) as caught:
        run_workflow(path, {}, tmp_path / "out", input=FOLDER / "input", nodes=HEADLESS_NODES)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_more_marks_than_tokens_name_the_node_and_keep_what_was_done(tmp_path):
    with folders.use(folders.headless(tmp_path, (FOLDER / "input",))):
        overrides = small("Take a picture apart", Registry(HEADLESS_NODES))
    overrides["Prompt: first thing.text"] = "a photo of <7>"
    with pytest.raises(NodeFailedError, match="Prompt: first thing.*names <7>, but the tokens are: <1>, <2>"):
        run_workflow(FOLDER / "Take a picture apart.json", overrides, tmp_path, nodes=HEADLESS_NODES)
    left = sorted(path.name for path in Path(tmp_path).rglob("*.safetensors"))
    assert left == ["1.safetensors", "2.safetensors"]
    assert not list(tmp_path.rglob(".*"))


def test_a_bypassed_erasure_draws_what_the_stock_model_draws(tmp_path):
    data = data_of("Erase a concept")
    modes = {"ConceptAtelierEraseConcepts": 4, "ConceptAtelierSaveErasureAsLora": 2}
    for node in data["nodes"]:
        node["mode"] = modes.get(node["type"], node["mode"])
        if node["type"] == "SaveImage" and "cat" not in node["title"]:
            node["mode"] = 2
    path = tmp_path / "bypassed.json"
    for node in nodes_of(data):
        if node["type"] in ("KSampler", "EmptyLatentImage"):
            node["widgets_values"][2] = 2 if node["type"] == "KSampler" else 1
    path.write_text(json.dumps(data))
    result = run_workflow(path, {}, tmp_path / "out", nodes=HEADLESS_NODES)
    (before,), (after,) = (result.files_of(f"Save: cat {when}") for when in ("before", "after"))
    assert result.files == (before, after)
    with Image.open(before) as one, Image.open(after) as two:
        assert one.tobytes() == two.tobytes()


@pytest.fixture(scope="module")
def cache():
    """Keeps the lab model from one run to the next."""
    return {}


def kinds_of_pictures():
    grey = Image.linear_gradient("L").resize((48, 40))
    clear = grey.convert("RGBA")
    clear.putalpha(grey)
    return {
        "L": grey,
        "RGBA": clear,
        "P": grey.convert("P"),
        "1": grey.convert("1"),
        "I;16": Image.fromarray((np.arange(1600).reshape(40, 40) * 40).astype(np.uint16)),
    }


@pytest.mark.parametrize("mode", kinds_of_pictures())
def test_picture_files_of_every_kind_are_taken_apart(tmp_path, cache, mode):
    kinds_of_pictures()[mode].save(tmp_path / "it.png")
    result = run_workflow(localizing("it.png"), {}, tmp_path / "out", input=tmp_path, cache=cache, nodes=HEADLESS_NODES)
    found = result.output("ConceptAtelierLocalizeConcepts")
    assert len(found) >= 1 and found.picture_size == kinds_of_pictures()[mode].size[::-1]


def test_a_picture_of_one_pixel_names_the_node_and_leaves_nothing(tmp_path, cache):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(NodeFailedError, match="ConceptAtelierLocalizeConcepts.* failed: .*at least 8"):
        run_workflow(localizing("dot.png"), {}, tmp_path / "out", input=tmp_path, cache=cache, nodes=HEADLESS_NODES)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_text_file_is_no_picture(tmp_path, cache):
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(NodeFailedError, match="notes.png cannot be read as a picture"):
        run_workflow(localizing("notes.png"), {}, tmp_path / "out", input=tmp_path, cache=cache, nodes=HEADLESS_NODES)


def localizing(picture):
    """An API workflow that localises a picture file."""
    sockets = {name: ["1", slot] for slot, name in enumerate(("model", "clip", "vae"))}
    chosen = {"preset": "paper", "min_clusters": 4, "saliency_threshold": 1.0, "merge_threshold": 1.0, "seed": 0}
    chosen |= {"outline": "smooth", "neighbour_reach": 0.0}
    chosen |= {"adjacency": True, "count": 0, "max_concepts": 0}
    return {
        "1": {"class_type": "ConceptAtelierLoadLabModel", "inputs": {}},
        "2": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "3": {"class_type": "ConceptAtelierLocalizeConcepts", "inputs": {**sockets, "image": ["2", 0], **chosen}},
    }
