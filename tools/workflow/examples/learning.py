"""Workflows that take pictures apart, learn tokens, and score them."""

from ....core.learn.registry import METHODS
from ..input_pictures import AGAIN
from ..object_pictures import PROTOTYPES
from ..studio import Studio


def take_a_picture_apart(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    tunes = METHODS[variant.learn.get("method", "conceptexpress")].changes_model
    if tunes:
        studio.note_height = 72  # another file is saved, and all steps are as high as a laptop's screen
    studio.step(
        "Find the things",
        "Localize Concepts finds the things in the picture by itself.",
        "Edit Concepts shows them after a run: click one to drop it, double-click it to rename it, or shift-click "
        "several and press Merge. " + variant.picture,
    )
    model, clip, vae = studio.load()
    picture = studio.scaled(sheet, studio.picture())
    wires = {"model": model, "clip": clip, "vae": vae, "image": picture}
    found, _, overlay, _ = sheet.add("ConceptAtelierLocalizeConcepts", 1, **wires, **variant.localize)
    edited, _ = sheet.add("ConceptAtelierEditConcepts", 2, concepts=found, image=picture)
    sheet.add("SaveImage", 2, "Save: the overlay", images=overlay, filename_prefix="apart_overlay", collapsed=True)
    studio.step(
        "Learn them",
        "Each thing becomes a word.",
        "The words are saved as files too: **embedding:atelier/1** works in any prompt"
        + (", with the LoRA **atelier/adapter** beside it." if tunes else "."),
    )
    tokens, _, learnt = sheet.add(
        "ConceptAtelierLearnConceptTokens", 0, **wires, concepts=edited, seed=2, **variant.learn
    )
    sheet.add("ConceptAtelierSaveConceptTokens", 0, tokens=tokens, collapsed=True)
    prompts = {
        "apart_first": ("first thing", "a photo of <1>"),
        "apart_scene": ("both, new scene", variant.words.new_scene),
    }
    studio.draw_with_tokens(prompts, clip, vae, tokens, learnt)
    if tunes:  # not beside the tokens: that step is as high as a laptop's screen
        sheet.add("ConceptAtelierSaveAdapterAsLora", 0, tokens=tokens, collapsed=True)


def learn_from_two_pictures(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.step(
        "Find the things",
        "Two pictures of the same things teach more than one.",
        "The pictures come with the pack." if variant.is_lab else "Choose two pictures of the same two things.",
    )
    model, clip, vae = studio.load()
    wires, block = {"model": model, "clip": clip, "vae": vae}, studio.finder()
    sheet.align(0, 1)
    found, pictures = [], []
    for column, (which, name) in enumerate({"first": "two_things.png", "second": AGAIN}.items()):
        given = studio.picture(name, f"{which.capitalize()} picture", column)
        concepts, *scaled = sheet.add_block(block, column, f"Find: {which} picture", **wires, image=given)
        found.append(concepts)
        pictures.append(scaled[0] if scaled else given)
    studio.step(
        "Match them",
        "Matched things share a name.",
        "For a third picture, add another Match Concepts and connect MORE to its input more.",
    )
    first = {"image": pictures[0], "concepts": found[0]}
    other = {"other_image": pictures[1], "other_concepts": found[1]}
    more, _, overlay = sheet.add("ConceptAtelierMatchConcepts", 0, **wires, **first, **other)
    sheet.add("SaveImage", 0, "Save: the overlay", images=overlay, filename_prefix="two_overlay", collapsed=True)
    studio.step("Learn them", "Each thing becomes a word.", "It is learnt from both pictures.")
    wires |= {**first, "more": more}
    tokens, _, learnt = sheet.add("ConceptAtelierLearnConceptTokens", 0, **wires, **variant.learn)
    prompts = {
        "two_first": ("first thing", "a photo of <1>"),
        "two_together": ("both things", "a photo of <1> and <2>"),
    }
    studio.draw_with_tokens(prompts, clip, vae, tokens, learnt)


def score_concepts(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.is_lab
    studio.step(
        "Find the things",
        "Localize Concepts finds the things in the picture by itself.",
        "It shows them after a run. " + variant.picture,
    )
    model, clip, vae = studio.load()
    picture = studio.scaled(sheet, studio.picture())
    wires = {"model": model, "clip": clip, "vae": vae, "image": picture}
    concepts, _, overlay, _ = sheet.add("ConceptAtelierLocalizeConcepts", 1, **wires, **variant.localize)
    studio.step("Learn them", "Each thing becomes a word.", "Try other methods and settings, and compare scores.")
    tokens, _, learnt = sheet.add("ConceptAtelierLearnConceptTokens", 0, **wires, concepts=concepts, **variant.learn)
    studio.step(
        "Score them",
        "How well do the words draw the things?",
        "Each word is drawn alone, then all together. **SIM^I**: similarity to the thing. **SIM^C**: similarity to the "
        "whole picture. **ACC**: how often the right thing is recognised among those in a folder. "
        + (
            "The folder comes with the pack."
            if lab
            else "First put pictures of other things, one each, into a folder **concepts** in ComfyUI's input folder."
        )
        + studio.vision_file,
    )
    vision = studio.vision(0)
    folder = PROTOTYPES if lab else "concepts"
    prototypes, _ = sheet.add("ConceptAtelierLoadConceptPrototypes", 0, clip_vision=vision, folder=folder)
    sheet.add("SaveImage", 0, "Save: the overlay", images=overlay, filename_prefix="score_overlay", collapsed=True)
    wires |= {"model": learnt, "clip_vision": vision, "concepts": concepts, "tokens": tokens, "prototypes": prototypes}
    scored, _, _, sources, _ = sheet.add("ConceptAtelierScoreConcepts", 1, **wires, **variant.score)
    sheet.add("SaveImage", 2, "Save: the sheet", images=scored, filename_prefix="score_sheet")
    sheet.add("SaveImage", 2, "Save: the sources", images=sources, filename_prefix="score_sources")
