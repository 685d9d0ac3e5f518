"""Write ``workflows/*.json`` and their input pictures (developers; run after a node's inputs change).

    python -m concept_atelier.lab.build_workflows

Workflows are laid out from left to right in the format that ComfyUI's front end saves, from the nodes' own schemas.
Each comes twice: on the lab model, and as a twin for a checkpoint of the user's own.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .foreign import drawing_registry
from .object_pictures import OBJECTS, PROTOTYPES, object_picture
from .sheet import Out, Sheet
from .workflow_variants import VARIANTS, VISION, Variant
from .world.backgrounds import sample_background
from .world.scene import Look, Scene, SceneSettings, compose, sample_scene

FOLDER = Path(__file__).parents[1] / "workflows"
# Scenes of the test split, whose pair of objects no model has seen together.
PICTURES = {"two_things.png": 20, "two_other_things.png": 2}
AGAIN = "two_things_again.png"  # the things of the first, elsewhere and on another ground


@dataclass
class Studio:
    """A sheet, the variant it is drawn for, and what every workflow starts with."""

    sheet: Sheet
    variant: Variant
    name: str

    def note(self, text: str, height: int) -> None:
        """The note at the top left."""
        end = self.variant.note.format(name=self.name + self.variant.suffix, lab=self.name)
        self.sheet.note(0, f"{text}\n\n{end}", height)

    def load(self) -> list[Out]:
        """MODEL, CLIP and VAE."""
        if self.variant.checkpoint is None:
            return self.sheet.add("ConceptAtelierLoadLabModel", 0)
        return self.sheet.add("CheckpointLoaderSimple", 0, ckpt_name=self.variant.checkpoint)

    def vision(self) -> Out:
        """CLIP_VISION."""
        if self.variant.checkpoint is None:
            (vision,) = self.sheet.add("ConceptAtelierLoadLabClipVision", 0)
        else:
            (vision,) = self.sheet.add("CLIPVisionLoader", 0, clip_name=VISION)
        return vision

    def picture(self, name: str = "two_things.png", title: str | None = None) -> Out:
        """A picture to take apart, in the variant's size; ``name`` is that of the lab's."""
        if self.variant.checkpoint is None:
            image, _ = self.sheet.add("LoadImage", 0, title, image=name)
            return image
        image, _ = self.sheet.add("LoadImage", 0, title, image="example.png")
        side = self.variant.side
        scaling = {"upscale_method": "lanczos", "width": side, "height": side, "crop": "center"}
        (scaled,) = self.sheet.add("ImageScale", 0, image=image, **scaling)
        return scaled

    def latent(self, column: int) -> Out:
        """Empty latents."""
        side, batch = self.variant.side, self.variant.batch
        (latent,) = self.sheet.add("EmptyLatentImage", column, width=side, height=side, batch_size=batch)
        return latent

    def sample(self, column: int, title: str | None, model: Out, positive: Out, negative: Out, latent: Out) -> Out:
        """A KSampler's latents."""
        wires = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
        (samples,) = self.sheet.add("KSampler", column, title, **wires, seed=7, denoise=1.0, **self.variant.sampling)
        return samples

    def draw(self, column: int, name: str, wires: Mapping[str, Out], vae: Out) -> None:
        """Sample, decode and save."""
        samples = self.sample(column, f"Draw {name}", **wires)
        (pictures,) = self.sheet.add("VAEDecode", column + 1, samples=samples, vae=vae)
        self.sheet.add("SaveImage", column + 2, f"Save {name}", images=pictures, filename_prefix=name)


def see_where_words_land(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    studio.note(
        "# See where words land\n\nCapture Attention notes which cells of the picture read which word while the "
        "sampler runs; Show Word Heatmap lays the maps over the pictures.",
        220,
    )
    model, clip, vae = studio.load()
    (positive,) = sheet.add("CLIPTextEncode", 1, "Prompt", clip=clip, text=words.scene)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    latent = studio.latent(1)
    listening, capture = sheet.add("ConceptAtelierCaptureAttention", 1, model=model)
    samples = studio.sample(2, None, listening, positive, negative, latent)
    (pictures,) = sheet.add("VAEDecode", 3, samples=samples, vae=vae)
    sheet.add("SaveImage", 4, "Save pictures", images=pictures, filename_prefix="words_pictures")
    wires = {"capture": capture, "clip": clip, "samples": samples, "image": pictures}
    heatmaps, _ = sheet.add("ConceptAtelierShowWordHeatmap", 4, **wires, text=words.scene, words=words.looked_up)
    sheet.add("SaveImage", 5, "Save heatmaps", images=heatmaps, filename_prefix="words_heatmaps")


def take_a_picture_apart(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.note(
        "# Take a picture apart\n\n1. Localize Concepts finds what is in the picture.\n2. Learn Concept Tokens learns "
        "a token for each.\n3. Encode Concept Prompt puts the tokens into new prompts: each alone, and together in a "
        "new scene.\n\nWith another picture, look at what was found first. In Edit Concepts a click on a region drops "
        "it, a double click renames it, and clicks with shift select several to merge. " + studio.variant.picture,
        380,
    )
    model, clip, vae = studio.load()
    picture = studio.picture()
    wires = {"model": model, "clip": clip, "vae": vae, "image": picture}
    found, _, overlay = sheet.add("ConceptAtelierLocalizeConcepts", 1, **wires, **variant.localize)
    sheet.add("SaveImage", 2, "Save overlay", images=overlay, filename_prefix="apart_overlay")
    edited, _ = sheet.add("ConceptAtelierEditConcepts", 2, concepts=found, image=picture)
    tokens, loss, learnt = sheet.add("ConceptAtelierLearnConceptTokens", 2, **wires, concepts=edited, **variant.learn)
    sheet.add("SaveImage", 3, "Save loss", images=loss, filename_prefix="apart_loss")
    sheet.add("ConceptAtelierSaveConceptTokens", 3, tokens=tokens)
    (negative,) = sheet.add("CLIPTextEncode", 3, "Negative prompt", clip=clip, text="")
    latent = studio.latent(3)
    prompts = {
        "apart_first": "a photo of <1>",
        "apart_second": "a photo of <2>",
        "apart_together": "a photo of <1> and <2>",
        "apart_new_scene": variant.words.new_scene,
    }
    for name, text in prompts.items():
        sheet.start_row(4, 5, 6, 7)
        title = f"Prompt of {name}"
        (positive,) = sheet.add("ConceptAtelierEncodeConceptPrompt", 4, title, clip=clip, tokens=tokens, text=text)
        studio.draw(5, name, {"model": learnt, "positive": positive, "negative": negative, "latent": latent}, vae)


def erase_a_concept(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    gone, *others = (f"{word}s" for word in words.before_after)
    studio.note(
        f"# Erase a concept\n\nErase Concepts changes the model so that it reads *{gone[:-1]}* (and its synonyms) as "
        f"nothing in particular. The same seeds before and after: {gone} go, {' and '.join(others)} stay. Save Erasure "
        "as LoRA keeps the change as a file for the stock LoRA loader.",
        240,
    )
    model, clip, vae = studio.load()
    texts = {"concepts": words.erased, "anchors": "", "preserve": words.preserved}
    erased, erasure = sheet.add(
        "ConceptAtelierEraseConcepts", 1, model=model, clip=clip, **texts, **studio.variant.erase
    )
    sheet.add("ConceptAtelierSaveErasureAsLora", 2, erasure=erasure)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    latent = studio.latent(1)
    for word, text in words.before_after.items():
        sheet.start_row(2, 3, 4, 5)
        (positive,) = sheet.add("CLIPTextEncode", 2, f"Prompt {word}", clip=clip, text=text)
        wires = {"positive": positive, "negative": negative, "latent": latent}
        studio.draw(3, f"erase_{word}_before", {"model": model, **wires}, vae)
        sheet.start_row(3, 4, 5)
        studio.draw(3, f"erase_{word}_after", {"model": erased, **wires}, vae)


def score_concepts(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.checkpoint is None
    studio.note(
        "# Score concepts\n\nHow well do tokens redraw what they were learnt from? Score Concepts draws each alone and "
        "all together, and a picture encoder compares: **SIM^I** with the concept cut out of the picture, **SIM^C** "
        "with the whole picture; **ACC^1** and **ACC^3** count pictures that are taken for the right concept, out of "
        "those of the picture and all of a folder. The table is saved as CSV and JSON.\n\nCompare settings of Learn "
        "Concept Tokens by the same picture, encoder, seed and folder. "
        + (
            "The folder comes with the pack."
            if lab
            else "First put pictures of other concepts, one each, into a folder `concepts` in ComfyUI's `input` folder."
        ),
        420,
    )
    model, clip, vae = studio.load()
    vision, picture = studio.vision(), studio.picture()
    wires = {"model": model, "clip": clip, "vae": vae, "image": picture}
    concepts, _, overlay = sheet.add("ConceptAtelierLocalizeConcepts", 1, **wires, **variant.localize)
    folder = PROTOTYPES if lab else "concepts"
    prototypes, _ = sheet.add("ConceptAtelierLoadConceptPrototypes", 1, clip_vision=vision, folder=folder)
    sheet.add("SaveImage", 2, "Save overlay", images=overlay, filename_prefix="score_overlay")
    tokens, _, learnt = sheet.add("ConceptAtelierLearnConceptTokens", 2, **wires, concepts=concepts, **variant.learn)
    wires |= {"model": learnt, "clip_vision": vision, "concepts": concepts, "tokens": tokens, "prototypes": prototypes}
    scored, _, _, sources, _ = sheet.add("ConceptAtelierScoreConcepts", 3, **wires, **variant.score)
    sheet.add("SaveImage", 4, "Save sheet", images=scored, filename_prefix="score_sheet")
    sheet.add("SaveImage", 4, "Save sources", images=sources, filename_prefix="score_sources")


def learn_from_two_pictures(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.note(
        "# Learn from two pictures\n\nTwo pictures of the same things teach more than one: what a thing is, and "
        "what only its surroundings. Match Concepts finds the concepts of the first picture in the second and names "
        "them alike; Learn Concept Tokens learns from both. For a third picture add another Match Concepts, and "
        "connect `more` of this one to it."
        + ("" if variant.checkpoint is None else "\n\nChoose two pictures of the same two things."),
        300,
    )
    model, clip, vae = studio.load()
    pictures = [studio.picture("two_things.png", "First picture"), studio.picture(AGAIN, "Second picture")]
    wires = {"model": model, "clip": clip, "vae": vae}
    found = [
        sheet.add("ConceptAtelierLocalizeConcepts", 1, **wires, image=picture, **variant.localize)[0]
        for picture in pictures
    ]
    matched = {"concepts": found[0], "other_image": pictures[1], "other_concepts": found[1]}
    more, _, overlay = sheet.add("ConceptAtelierMatchConcepts", 2, **wires, image=pictures[0], **matched)
    sheet.add("SaveImage", 3, "Save overlay", images=overlay, filename_prefix="two_overlay")
    first = {"image": pictures[0], "concepts": found[0], "more": more}
    tokens, loss, learnt = sheet.add("ConceptAtelierLearnConceptTokens", 3, **wires, **first, **variant.learn)
    sheet.add("SaveImage", 4, "Save loss", images=loss, filename_prefix="two_loss")
    (negative,) = sheet.add("CLIPTextEncode", 4, "Negative prompt", clip=clip, text="")
    latent = studio.latent(4)
    prompts = {"two_first": "a photo of <1>", "two_second": "a photo of <2>", "two_together": "a photo of <1> and <2>"}
    for name, text in prompts.items():
        sheet.start_row(5, 6, 7, 8)
        title = f"Prompt of {name}"
        (positive,) = sheet.add("ConceptAtelierEncodeConceptPrompt", 5, title, clip=clip, tokens=tokens, text=text)
        studio.draw(6, name, {"model": learnt, "positive": positive, "negative": negative, "latent": latent}, vae)


def again(scene: Scene, seed: int) -> Scene:
    """The same things in the same styles, placed anew on another plain ground."""
    rng = random.Random(f"again:{seed}")
    looks = [Look(thing.name, thing.style, None, thing.name) for thing in scene.objects]
    settings, ground = SceneSettings(counts=(len(looks),)), sample_background(rng, 0.0)
    picture, objects = compose(rng, looks, ground, settings)
    return Scene(picture, "", objects, ground)


Builder = Callable[[Studio], None]
BUILDERS: dict[str, Builder] = {
    f.__name__: f
    for f in (
        see_where_words_land,
        take_a_picture_apart,
        learn_from_two_pictures,
        erase_a_concept,
        score_concepts,
    )
}
WORKFLOWS: dict[str, tuple[Builder, Variant]] = {
    name + variant.suffix: (build, variant) for variant in VARIANTS for name, build in BUILDERS.items()
}


def workflow(name: str) -> str:
    """A workflow file's text."""
    build, variant = WORKFLOWS[name]
    studio = Studio(Sheet(drawing_registry()), variant, build.__name__)
    build(studio)
    return json.dumps(studio.sheet.body(name), indent=1) + "\n"


def main() -> None:
    (FOLDER / "input" / PROTOTYPES).mkdir(parents=True, exist_ok=True)
    for name in OBJECTS:
        object_picture(name).save(FOLDER / "input" / PROTOTYPES / f"{name}.png", optimize=True)
    for name, seed in PICTURES.items():
        scene = sample_scene("test", seed, SceneSettings(counts=(2,), patterned=0, tinted=0))
        Image.fromarray(scene.picture).save(FOLDER / "input" / name, optimize=True)
    first = sample_scene("test", PICTURES["two_things.png"], SceneSettings(counts=(2,), patterned=0, tinted=0))
    Image.fromarray(again(first, 1).picture).save(FOLDER / "input" / AGAIN, optimize=True)
    for name in WORKFLOWS:
        (FOLDER / f"{name}.json").write_text(workflow(name), encoding="utf-8")


if __name__ == "__main__":
    main()
