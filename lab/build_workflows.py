"""Write ``workflows/*.json`` and their input pictures (developers; run after a node's inputs change).

    python -m concept_atelier.lab.build_workflows

Workflows are laid out from left to right in the format that ComfyUI's front end saves, from the nodes' own schemas.
"""

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ..host.registry import Registry, default_registry
from .world.scene import SceneSettings, sample_scene

FOLDER = Path(__file__).parents[1] / "workflows"
# Scenes of the test split, whose pair of objects no model has seen together.
PICTURES = {"two_things.png": 20, "two_other_things.png": 2}
COLUMN, GAP, TITLE = 380, 40, 30
SLOT, WIDGET, MARGIN, MULTILINE, PICTURE = 20, 24, 14, 60, 240
"""What ComfyUI's front end gives a row of sockets, a widget, a node's rims, a field of text, a picture on a node."""
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
SHOW_PICTURES = (
    "LoadImage",
    "SaveImage",
    "ConceptAtelierLocalizeConcepts",
    "ConceptAtelierLearnConceptTokens",
    "ConceptAtelierShowWordHeatmap",
)


@dataclass(frozen=True)
class Out:
    """An output of a node that was placed."""

    node: int
    slot: int
    type: str


@dataclass
class Sheet:
    """A workflow under construction."""

    registry: Registry
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)
    bottoms: dict[int, float] = field(default_factory=dict)

    def add(self, kind: str, column: int, title: str | None = None, **given: Any) -> list[Out]:
        """Place a node; inputs that are :class:`Out` become links, others widget values. Returns its outputs."""
        schema = self.registry.schema(kind)
        number = len(self.nodes) + 1
        sockets: list[dict[str, Any]] = []
        values: list[Any] = []
        for entry in schema.inputs:
            kind_of = entry.get_io_type()
            value = given.pop(entry.id, None)
            socket: dict[str, Any] = {"name": entry.id, "type": kind_of, "link": None}
            if kind_of in WIDGETS:
                socket["widget"] = {"name": entry.id}
                values += self._widget_values(entry, None if isinstance(value, Out) else value)
            if isinstance(value, Out):
                socket["link"] = self._link(value, number, len(sockets))
            sockets.append(socket)
        if given:
            raise ValueError(f"{kind} has no inputs {', '.join(given)}")
        outputs = [
            {"name": o.display_name or o.get_io_type(), "type": o.get_io_type(), "links": []} for o in schema.outputs
        ]
        node = {"type": kind, "inputs": sockets, "outputs": outputs, "widgets_values": values}
        texts = sum(bool(entry.as_dict().get("multiline")) for entry in schema.inputs)
        self._place(node, column, _height(node, texts), title)
        return [Out(number, slot, output.get_io_type()) for slot, output in enumerate(schema.outputs)]

    def note(self, column: int, text: str, height: int = 160) -> None:
        """Place a note."""
        node = {"type": "MarkdownNote", "inputs": [], "outputs": [], "widgets_values": [text]}
        self._place(node, column, height, "About")

    def start_row(self, *columns: int) -> None:
        """What is placed next in these columns starts at the same height."""
        top = max(self.bottoms.get(column, 0.0) for column in columns)
        self.bottoms |= dict.fromkeys(columns, top)

    def save(self, name: str) -> None:
        """Write the workflow."""
        body = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"concept-atelier/{name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": 0.4,
        }
        (FOLDER / f"{name}.json").write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")

    def _widget_values(self, entry: Any, value: Any) -> list[Any]:
        options = entry.as_dict()
        values = [options.get("default", next(iter(options.get("options", ())), None)) if value is None else value]
        if options.get("control_after_generate"):
            values.append("fixed")
        if options.get("image_upload"):
            values.append("image")
        return values

    def _link(self, source: Out, target: int, slot: int) -> int:
        number = len(self.links) + 1
        self.links.append([number, source.node, source.slot, target, slot, source.type])
        self.nodes[source.node - 1]["outputs"][source.slot]["links"].append(number)
        return number

    def _place(self, node: dict[str, Any], column: int, height: float, title: str | None) -> None:
        top = self.bottoms.get(column, 0.0)
        self.bottoms[column] = top + height + TITLE + GAP
        number = len(self.nodes) + 1
        node |= {"id": number, "pos": [column * COLUMN, top], "size": [COLUMN - 60, height], "flags": {}}
        node |= {"order": number - 1, "mode": 0, "properties": {"Node name for S&R": node["type"]}}
        self.nodes.append(node | ({"title": title} if title else {}))


def _height(node: dict[str, Any], texts: int) -> int:
    sockets = sum("widget" not in socket for socket in node["inputs"])
    rows = SLOT * max(sockets, len(node["outputs"])) + WIDGET * len(node["widgets_values"])
    return MARGIN + rows + MULTILINE * texts + PICTURE * (node["type"] in SHOW_PICTURES)


def draw(sheet: Sheet, column: int, name: str, model: Out, positive: Out, negative: Out, latent: Out, vae: Out) -> Out:
    """Sample, decode and save; returns the pictures."""
    settings = {"seed": 7, "steps": 20, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    (samples,) = sheet.add(
        "KSampler",
        column,
        f"Draw {name}",
        model=model,
        positive=positive,
        negative=negative,
        latent_image=latent,
        **settings,
    )
    (pictures,) = sheet.add("VAEDecode", column + 1, samples=samples, vae=vae)
    sheet.add("SaveImage", column + 2, f"Save {name}", images=pictures, filename_prefix=name)
    return pictures


def headless(name: str) -> str:
    """How to run a workflow, for its note."""
    return f"Runs without ComfyUI for now:\n\n`python -m concept_atelier run workflows/{name}.json`"


def see_where_words_land(sheet: Sheet) -> None:
    sheet.note(
        0,
        "# See where words land\n\nCapture Attention notes which cells of the picture read which word while the "
        "sampler runs; Show Word Heatmap lays the maps over the pictures.\n\n" + headless("see_where_words_land"),
        220,
    )
    model, clip, vae = sheet.add("ConceptAtelierLoadLabModel", 0)
    text = "a cat and a rocket on blue"
    (positive,) = sheet.add("CLIPTextEncode", 1, "Prompt", clip=clip, text=text)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    (latent,) = sheet.add("EmptyLatentImage", 1, width=128, height=128, batch_size=4)
    listening, capture = sheet.add("ConceptAtelierCaptureAttention", 1, model=model)
    (samples,) = sheet.add(
        "KSampler",
        2,
        model=listening,
        positive=positive,
        negative=negative,
        latent_image=latent,
        seed=7,
        steps=20,
        cfg=4.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
    )
    (pictures,) = sheet.add("VAEDecode", 3, samples=samples, vae=vae)
    sheet.add("SaveImage", 4, "Save pictures", images=pictures, filename_prefix="words_pictures")
    heatmaps, _ = sheet.add(
        "ConceptAtelierShowWordHeatmap",
        4,
        capture=capture,
        clip=clip,
        samples=samples,
        image=pictures,
        text=text,
        words="cat, rocket, blue",
    )
    sheet.add("SaveImage", 5, "Save heatmaps", images=heatmaps, filename_prefix="words_heatmaps")


def take_a_picture_apart(sheet: Sheet) -> None:
    sheet.note(
        0,
        "# Take a picture apart\n\n1. Localize Concepts finds what is in the picture.\n2. Learn Concept Tokens learns "
        "a token for each.\n3. Encode Concept Prompt puts the tokens into new prompts: each alone, and together in a "
        "new scene.\n\nWith another picture, look at the overlay first; Edit Concepts drops, merges and renames.\n\n"
        + headless("take_a_picture_apart"),
        300,
    )
    model, clip, vae = sheet.add("ConceptAtelierLoadLabModel", 0)
    image, _ = sheet.add("LoadImage", 0, image="two_things.png")
    found, _, overlay = sheet.add(
        "ConceptAtelierLocalizeConcepts", 1, model=model, clip=clip, vae=vae, image=image, max_concepts=4
    )
    sheet.add("SaveImage", 2, "Save overlay", images=overlay, filename_prefix="apart_overlay")
    edited, _ = sheet.add("ConceptAtelierEditConcepts", 2, concepts=found)
    tokens, loss = sheet.add(
        "ConceptAtelierLearnConceptTokens", 2, model=model, clip=clip, vae=vae, image=image, concepts=edited
    )
    sheet.add("SaveImage", 3, "Save loss", images=loss, filename_prefix="apart_loss")
    sheet.add("ConceptAtelierSaveConceptTokens", 3, tokens=tokens)
    (negative,) = sheet.add("CLIPTextEncode", 3, "Negative prompt", clip=clip, text="")
    (latent,) = sheet.add("EmptyLatentImage", 3, width=128, height=128, batch_size=4)
    prompts = {
        "apart_first": "a photo of <1>",
        "apart_second": "a photo of <2>",
        "apart_together": "a photo of <1> and <2>",
        "apart_new_scene": "<1> and <2> on pink",
    }
    for name, text in prompts.items():
        sheet.start_row(4, 5, 6, 7)
        (positive,) = sheet.add(
            "ConceptAtelierEncodeConceptPrompt", 4, f"Prompt of {name}", clip=clip, tokens=tokens, text=text
        )
        draw(sheet, 5, name, model, positive, negative, latent, vae)


def erase_a_concept(sheet: Sheet) -> None:
    sheet.note(
        0,
        "# Erase a concept\n\nErase Concepts changes the model so that it reads *cat* (and its synonyms) as nothing in "
        "particular. The same seeds before and after: cats go, dogs and rockets stay. Save Erasure as LoRA keeps the "
        "change as a file for the stock LoRA loader.\n\n" + headless("erase_a_concept"),
        240,
    )
    model, clip, vae = sheet.add("ConceptAtelierLoadLabModel", 0)
    erased, erasure = sheet.add(
        "ConceptAtelierEraseConcepts",
        1,
        model=model,
        clip=clip,
        concepts="cat, kitty, kitten",
        anchors="",
        preserve="dog, lion, fox, rabbit, panda, rocket, apple, house, car, tree, crab, fish",
    )
    sheet.add("ConceptAtelierSaveErasureAsLora", 2, erasure=erasure)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    (latent,) = sheet.add("EmptyLatentImage", 1, width=128, height=128, batch_size=4)
    prompts = {"cat": "a photo of a cat", "dog": "a photo of a dog", "rocket": "a photo of a rocket"}
    for word, text in prompts.items():
        sheet.start_row(2, 3, 4, 5)
        (positive,) = sheet.add("CLIPTextEncode", 2, f"Prompt {word}", clip=clip, text=text)
        draw(sheet, 3, f"erase_{word}_before", model, positive, negative, latent, vae)
        sheet.start_row(3, 4, 5)
        draw(sheet, 3, f"erase_{word}_after", erased, positive, negative, latent, vae)


WORKFLOWS = {f.__name__: f for f in (see_where_words_land, take_a_picture_apart, erase_a_concept)}


def main() -> None:
    (FOLDER / "input").mkdir(parents=True, exist_ok=True)
    for name, seed in PICTURES.items():
        scene = sample_scene("test", seed, SceneSettings(counts=(2,), patterned=0, tinted=0))
        Image.fromarray(scene.picture).save(FOLDER / "input" / name, optimize=True)
    for name, build in WORKFLOWS.items():
        sheet = Sheet(default_registry())
        build(sheet)
        sheet.save(name)


if __name__ == "__main__":
    main()
