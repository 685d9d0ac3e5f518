"""Twins of the workflows, for a checkpoint of the user's own and for a transformer: what their lab workflows do."""

import re

import pytest
from PIL import Image

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.graph import GraphNode, Link, WorkflowError
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.tools.build_workflows import FOLDER, WORKFLOWS
from concept_atelier.tools.workflow.foreign import drawing_registry
from concept_atelier.tools.workflow.studio import SIZED, SIZED_BY_SETTINGS
from concept_atelier.tools.workflow.variants import CHECKPOINT, LAB, LAB_TRANSFORMER, Z_IMAGE

VARIANT_OF = {name: variant for name, (_, variant) in WORKFLOWS.items()}
TWINS = sorted(name for name, variant in VARIANT_OF.items() if not variant.is_lab)
ON_LAB = sorted(set(WORKFLOWS) - set(TWINS))

every_twin = pytest.mark.parametrize("name", TWINS)

PREFIX = "ConceptAtelier"
LOADERS = {
    "CheckpointLoaderSimple": "ConceptAtelierLoadLabModel",
    "CLIPVisionLoader": "ConceptAtelierLoadLabClipVision",
}
"""Of a twin, and what its lab workflow has in their place."""

FINE_TUNES = {"Will these two LoRAs fight": 2, "Slim a fine-tune": 1, "What did my LoRA change": 1}
"""Workflows whose twins load LoRA files, and how many; on the lab model Erase Concepts makes the fine-tunes."""

SIDES = {CHECKPOINT.suffix: 512, Z_IMAGE.suffix: 1024}
FIRST_LOADERS = {CHECKPOINT.suffix: "CheckpointLoaderSimple", Z_IMAGE.suffix: "UNETLoader"}

OWN_SIZES = ("ConceptAtelierComposeConcepts", "ConceptAtelierEditByWords", "ConceptAtelierLoadPictureFolder")
"""Nodes of ours that say how large pictures are."""


def test_every_workflow_has_its_twin():
    assert {f"{name}{CHECKPOINT.suffix}" for name in ON_LAB if VARIANT_OF[name] is LAB} <= set(TWINS)


@pytest.mark.parametrize("transformer", [LAB_TRANSFORMER, Z_IMAGE], ids=lambda variant: variant.suffix)
def test_words_parts_and_erasing_have_a_twin_for_a_transformer(transformer):
    shown = {name.removesuffix(transformer.suffix) for name in WORKFLOWS if VARIANT_OF[name] is transformer}
    assert shown == {"See where words land", "Take a picture apart", "Erase a concept", "Train an erasure"}


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


@every_twin
def test_the_note_names_every_place_of_the_size_and_no_other(name, data_of):
    registry, data, variant = drawing_registry(), data_of(name), VARIANT_OF[name]
    note, *nodes = data["nodes"]
    said, _, places = note["widgets_values"][0].partition(f"{variant.sizes}: set the size ")
    inside = data.get("definitions", {}).get("subgraphs", [])
    sized = {block["id"] for block in inside if any(node["type"] in SIZED for node in block["nodes"])}
    there = set()
    for node in nodes:
        if node["type"] in sized:
            there.add(node["title"].partition(":")[0])
        elif node["type"] in (*SIZED, *SIZED_BY_SETTINGS):
            there.add(node.get("title") or registry.schema(node["type"]).display_name)
    wanted = there if variant.sizes and variant.note in said else set()
    assert set(re.findall(r"\*\*(.+?)\*\*", places)) == wanted


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
