"""Write ``workflows/*.json`` and their input pictures (developers; run after a node's inputs change).

    python -m concept_atelier.tools.build_workflows

Workflows are laid out from left to right in the format that ComfyUI's front end saves, from the nodes' own schemas.
Each comes twice: on the lab model, and as a twin for a checkpoint of the user's own. Some come for a transformer too.
"""

import json
import random
from collections.abc import Callable, Mapping

from PIL import Image

from ..host.workflow.examples import TITLES
from ..host.workflow.examples import WORKFLOWS as FOLDER
from ..lab.world.backgrounds import sample_background
from ..lab.world.scene import Look, Scene, SceneSettings, compose, sample_scene
from .workflow.captioned_pictures import FOLDER_NAME as CAPTIONED
from .workflow.captioned_pictures import captioned_pictures, vocabulary
from .workflow.folder_pictures import (
    FOLDER_NAME,
    MASKED,
    MASKED_PICTURE,
    NEW_PICTURE,
    folder_pictures,
    new_picture,
)
from .workflow.foreign import drawing_registry
from .workflow.ingredients import (
    masks_of_an_ingredient,
    take_an_ingredient_out,
    what_did_my_lora_change,
    what_is_this_folder_made_of,
)
from .workflow.lone_pictures import LONE, lone_pictures
from .workflow.object_pictures import OBJECTS, PROTOTYPES, object_picture
from .workflow.sheet import Out, Sheet
from .workflow.studio import Studio
from .workflow.subject_pictures import EXAMPLES, example_pictures, subject_folder
from .workflow.subject_pictures import FOLDER_NAME as SUBJECT_FOLDER
from .workflow.taste_pictures import DISLIKED, LIKED, taste_pictures
from .workflow.variants import VARIANTS, Variant

# Scenes of the test split, whose pair of objects no model has seen together.
PICTURES = {"two_things.png": 44, "two_other_things.png": 62}
AGAIN = "two_things_again.png"  # the things of the first, elsewhere and on another ground


def see_where_words_land(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    studio.step(
        "Write a prompt",
        "This workflow shows where each word of a prompt lands.",
        "Change **The prompt** to draw something else.",
    )
    model, clip, vae = studio.load()
    # One text for what is drawn and what is looked up, so that they cannot differ.
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.scene)
    latent = studio.latent(sheet, 0)
    (positive,) = sheet.add("CLIPTextEncode", 1, "Prompt", clip=clip, text=text)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    studio.step(
        "Draw the picture",
        "Capture Attention records every word while you draw.",
        "It notes how strongly each part of the picture belongs to each word. The pictures are the same without it.",
    )
    listening, capture = sheet.add("ConceptAtelierCaptureAttention", 0, model=model)
    wires = {"model": listening, "positive": positive, "negative": negative, "latent_image": latent}
    samples, pictures = studio.sample(sheet, 0, vae, **wires)
    sheet.add("SaveImage", 1, "Save: the pictures", images=pictures, filename_prefix="words_pictures")
    studio.step(
        "Look at the words",
        "Each map is bright where its word landed.",
        "Show Word Heatmap gets the same prompt; write into it the words to look up.",
    )
    wires = {"capture": capture, "clip": clip, "samples": samples, "image": pictures}
    heatmaps, _ = sheet.add("ConceptAtelierShowWordHeatmap", 0, **wires, text=text, words=words.looked_up)
    sheet.add("SaveImage", 1, "Save: the maps", images=heatmaps, filename_prefix="words_maps")


def take_a_picture_apart(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
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
        "The words are saved as files too: **embedding:atelier/1** works in any prompt.",
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


def erase_a_concept(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    gone, *others = (f"{word}s" for word in words.before_after)
    studio.step(
        f"Erase {gone}",
        f"{gone.capitalize()} are no longer drawn.",
        "List synonyms too, and words to preserve.",
    )
    model, clip, vae = studio.load()
    texts = {"concepts": words.erased, "anchors": "", "preserve": words.preserved}
    erased, erasure, _ = sheet.add(
        "ConceptAtelierEraseConcepts", 0, model=model, clip=clip, **texts, **studio.variant.erase
    )
    studio.step(
        "Compare",
        f"{gone.capitalize()} are gone; {' and '.join(others)} stay.",
        "Before and after start from the same noise. To change the seed, steps or size of all, open one of the "
        "**Draw** blocks.",
    )
    block = studio.drawer("model", "changed model")
    for number, (word, text) in enumerate(words.before_after.items()):
        left, right = 2 * number, 2 * number + 1
        (positive,) = sheet.add("CLIPTextEncode", left, f"Prompt: {word}", clip=clip, text=text)
        wires = {"model": model, "changed model": erased, "clip": clip, "vae": vae, "positive": positive}
        drawn = sheet.add_block(block, right, f"Draw: {word}", **wires)
        sheet.align(left, right)
        for column, when, pictures in zip((left, right), ("before", "after"), drawn, strict=True):
            prefix = f"{word}_{when}"
            sheet.add("SaveImage", column, f"Save: {word} {when}", images=pictures, filename_prefix=prefix)
    studio.step(
        "Save the change",
        "The change is a small file.",
        "Save Erasure as LoRA gives it a name. Any LoRA loader applies it.",
        below=1,
    )
    sheet.add("ConceptAtelierSaveErasureAsLora", 0, erasure=erasure, collapsed=True)


def compose_learnt_things(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.step(
        "Find the things",
        "Localize Concepts finds the things in the picture by itself.",
        "It shows them after a run. " + variant.picture,
    )
    model, clip, vae = studio.load()
    picture = studio.scaled(sheet, studio.picture())
    wires = {"model": model, "clip": clip, "vae": vae, "image": picture}
    concepts, *_ = sheet.add("ConceptAtelierLocalizeConcepts", 1, **wires, **variant.localize)
    studio.step("Learn them", "Each thing becomes a word.", "<1> stands for the first thing, <2> for the second.")
    tokens, _, learnt = sheet.add("ConceptAtelierLearnConceptTokens", 0, **wires, concepts=concepts, **variant.learn)
    studio.step(
        "Put them in their places",
        "Each thing is drawn where you want it.",
        "Write a place for each concept: left, right, top left and so on, or a box of four numbers. Beside it the same "
        "prompt is drawn without places, from the same noise.",
    )
    block = studio.drawer("model")
    prompt = variant.words.together
    texts = {"prompt": prompt, "concepts": "<1>\n<2>", "places": "right\nleft"}
    composed, conditioning, *_ = sheet.add(
        "ConceptAtelierComposeConcepts", 0, model=learnt, clip=clip, tokens=tokens, **texts, **variant.compose
    )
    (positive,) = sheet.add(
        "ConceptAtelierEncodeConceptPrompt", 0, "Prompt: without places", clip=clip, tokens=tokens, text=prompt
    )
    ways = {"without places": (learnt, positive), "in their places": (composed, conditioning)}
    for column, (title, (way, text)) in enumerate(ways.items(), 1):
        given = {"model": way, "clip": clip, "vae": vae, "positive": text}
        (pictures,) = sheet.add_block(block, column, f"Draw: {title}", **given)
        prefix = "unplaced" if way == learnt else "placed"
        sheet.add("SaveImage", column, f"Save: {title}", images=pictures, filename_prefix=prefix)


def two_loras_in_one_picture(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.step(
        "Choose two things",
        "A picture of each thing.",
        "Write what it shows: Localize Words finds the thing by this word, and its files get this name. "
        + ("The pictures come with the pack." if variant.is_lab else "Choose two pictures."),
    )
    model, clip, vae = studio.load()
    words, named, shown = variant.words.of_two_pictures, [], []
    for which, word, name in zip(("First", "Second"), words, LONE, strict=True):
        named += sheet.add("PrimitiveString", 0, f"{which} thing", value=word)
        shown.append(studio.picture(name, f"{which} picture", 1))
    studio.step(
        "Learn each by itself",
        "A word and a LoRA for each thing.",
        "Each **Learn** block finds the thing, learns it, and saves a token and a LoRA. Open one to change how.",
    )
    block = studio.learner()
    wires, files = {"model": model, "clip": clip, "vae": vae}, []
    for which, word, picture in zip(("first", "second"), named, shown, strict=True):
        files.append(sheet.add_block(block, 0, f"Learn: {which} thing", **wires, image=picture, word=word))
    joined = {"delimiter": ", ", "collapsed": True}
    (lora, token), (other_lora, other_token) = files
    (loras,) = sheet.add("StringConcatenate", 0, "Both LoRAs", string_a=lora, string_b=other_lora, **joined)
    (names,) = sheet.add("StringConcatenate", 0, "Both tokens", string_a=token, string_b=other_token, **joined)
    (tokens,) = sheet.add("ConceptAtelierLoadConceptTokens", 0, clip=clip, names=names, collapsed=True)
    studio.step(
        "Put both in one picture",
        "Each LoRA acts in its own place.",
        "First the words show where each thing will stand; then its LoRA acts there alone. Beside it the same prompt "
        "is drawn by the words alone, from the same noise.",
    )
    marks = [f"<{word}>" for word in words]
    prompt = f"a photo of {marks[0]} and {marks[1]}"
    texts = {"prompt": prompt, "concepts": "\n".join(marks), "places": "", "loras": loras}
    composed, conditioning, *_ = sheet.add(
        "ConceptAtelierComposeConcepts", 0, model=model, clip=clip, tokens=tokens, **texts, **variant.compose_loras
    )
    (positive,) = sheet.add(
        "ConceptAtelierEncodeConceptPrompt", 0, "Prompt: tokens alone", clip=clip, tokens=tokens, text=prompt
    )
    ways = {"tokens alone": (model, positive), "each LoRA in its place": (composed, conditioning)}
    drawer = studio.drawer("model")
    for column, (title, (way, text)) in enumerate(ways.items(), 1):
        given = {"model": way, "clip": clip, "vae": vae, "positive": text}
        (pictures,) = sheet.add_block(drawer, column, f"Draw: {title}", **given)
        prefix = "two_tokens" if way == model else "two_loras"
        sheet.add("SaveImage", column, f"Save: {title}", images=pictures, filename_prefix=prefix)


def edit_by_words(studio: Studio) -> None:
    sheet, words, variant = studio.sheet, studio.variant.words, studio.variant
    studio.step("Write a prompt", "Say what the picture shows.", "Change **The prompt** to draw something else.")
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.scene)
    studio.step(
        "Change a word",
        "The same picture with another word.",
        "Both pictures start from the same noise, and the second takes the first one's attention. Write the changed "
        "prompt into the node.",
    )
    wires = {"model": model, "clip": clip, "vae": vae}
    size = {"width": variant.side, "height": variant.side}
    sampling = {"steps": variant.sampling["steps"], "guidance": variant.sampling["cfg"]}
    before, after, _ = sheet.add(
        "ConceptAtelierEditByWords", 0, **wires, prompt=text, edited_prompt=words.exchanged, **size, **sampling, seed=4
    )
    sheet.add("SaveImage", 1, "Save: before", images=before, filename_prefix="edit_before")
    sheet.add("SaveImage", 1, "Save: after", images=after, filename_prefix="edit_after")
    studio.step(
        "Ask what each word tells",
        "How much each word says about the picture, and where.",
        "The node says it in nats. Choose **two words together** for what they have in common.",
    )
    given = {"image": before, "text": text, "words": words.looked_up, "draws": 50}
    maps, _ = sheet.add("ConceptAtelierShowWordInformation", 0, **wires, **given)
    sheet.add("SaveImage", 1, "Save: the maps", images=maps, filename_prefix="edit_maps")


def which_word_did_what(studio: Studio) -> None:
    sheet, words, variant = studio.sheet, studio.variant.words, studio.variant
    studio.step("Draw a picture", "Which part of it is due to which word?", "Change **The prompt** to draw another.")
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.scene)
    (latent,) = sheet.add("EmptyLatentImage", 0, width=variant.side, height=variant.side, batch_size=1)
    (positive,) = sheet.add("CLIPTextEncode", 1, "Prompt", clip=clip, text=text)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    wires = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
    _, picture = studio.sample(sheet, 1, vae, seed=9, **wires)
    studio.step(
        "Find the things",
        "A mask for each thing.",
        "Masks that you drew yourself, or no masks, will do as well.",
    )
    parts = {"model": model, "clip": clip, "vae": vae, "image": picture}
    _, masks, overlay, _ = sheet.add(
        "ConceptAtelierLocalizeWords", 0, **parts, words=words.things, **variant.localize_words
    )
    sheet.add("SaveImage", 0, "Save: the masks", images=overlay, filename_prefix="which_masks", collapsed=True)
    studio.step(
        "Compare the maps",
        "Attention, information, and how far they agree.",
        "Each row is a word, each column a way to measure what it did. IoU says how well a map fits the mask.",
    )
    sheet_of_maps, _, _ = sheet.add(
        "ConceptAtelierCompareWords", 0, **parts, masks=masks, text=text, words=words.things
    )
    sheet.add("SaveImage", 1, "Save: the sheet", images=sheet_of_maps, filename_prefix="which_sheet")


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
        ),
    )
    vision = studio.vision(0)
    folder = PROTOTYPES if lab else "concepts"
    prototypes, _ = sheet.add("ConceptAtelierLoadConceptPrototypes", 0, clip_vision=vision, folder=folder)
    sheet.add("SaveImage", 0, "Save: the overlay", images=overlay, filename_prefix="score_overlay", collapsed=True)
    wires |= {"model": learnt, "clip_vision": vision, "concepts": concepts, "tokens": tokens, "prototypes": prototypes}
    scored, _, _, sources, _ = sheet.add("ConceptAtelierScoreConcepts", 1, **wires, **variant.score)
    sheet.add("SaveImage", 2, "Save: the sheet", images=scored, filename_prefix="score_sheet")
    sheet.add("SaveImage", 2, "Save: the sources", images=sources, filename_prefix="score_sources")


def find_my_subject(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.is_lab
    studio.step(
        "Show your subject",
        "Paint a mask over the subject.",
        "Right-click a picture and open the mask editor. "
        + ("Both pictures come with the pack." if lab else "Choose two pictures of it."),
        draws=False,
    )
    vision = studio.vision(1)
    first, second = (
        sheet.add("LoadImage", 0, f"{which} example", image=name if lab else "example.png")
        for which, name in zip(("First", "Second"), EXAMPLES, strict=True)
    )
    site = {"site": "all"} if lab else {}
    recorded = [
        sheet.add(
            "ConceptAtelierRecordActivations", 1, f"Record: {which} example", clip_vision=vision, **given, **site
        )[0]
        for which, given in (("first", {"pictures": first[0]}), ("second", {"pictures": second[0]}))
    ]
    studio.step(
        "Learn it",
        "The mask teaches, not the word.",
        "Prototype Feedback adds the second example. It also takes a region that was found wrongly.",
    )
    (learnt,) = sheet.add("ConceptAtelierLearnPrototypes", 0, activations=recorded[0], masks=first[1])
    (better,) = sheet.add(
        "ConceptAtelierPrototypeFeedback",
        0,
        bank=learnt,
        activations=recorded[1],
        masks=second[1],
        regions="are all of the subject",
    )
    sheet.add("ConceptAtelierSaveIngredients", 0, bank=better, name="atelier/subject", collapsed=True)
    studio.step(
        "Find and crop it",
        "Every picture of the folder is looked through.",
        "SHEET shows what was found, and CROPS are ready for training."
        + ("" if lab else " Put your pictures into a folder **pictures** in ComfyUI's input folder."),
    )
    name = SUBJECT_FOLDER if lab else "pictures"
    pictures, names, *_ = sheet.add("ConceptAtelierLoadPictureFolder", 0, folder=name, size=variant.side)
    (folder,) = sheet.add(
        "ConceptAtelierRecordActivations", 0, "Record: the folder", clip_vision=vision, pictures=pictures, **site
    )
    given = {"bank": better, "activations": folder, "pictures": pictures, "names": names, "crop_size": variant.side}
    _, crops, found, *_ = sheet.add("ConceptAtelierFindPrototypes", 1, **given)
    for title, images, prefix in (("crops", crops, "subject_crops"), ("sheet", found, "subject_sheet")):
        sheet.add("SaveImage", 1, f"Save: the {title}", images=images, filename_prefix=prefix, collapsed=True)


def guard_against_a_concept(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    gone, kept, *_ = words.before_after
    studio.step(
        "Guard the model",
        f"{gone.capitalize()}s are kept out while the model draws.",
        "No weight changes and nothing is trained. Name an anchor to say what may stand in their place.",
    )
    model, clip, vae = studio.load()
    texts = {"concepts": gone, "anchors": ""}
    (guarded,) = sheet.add(
        "ConceptAtelierGuardAgainstConcepts", 0, model=model, clip=clip, **texts, **studio.variant.guard
    )
    block = studio.drawer("model", "guarded model")
    asked = {
        gone: (
            f"Ask for {gone}s",
            "The same noise, without and with the guard.",
            "Try other methods, and a lower or a higher strength.",
        ),
        kept: (
            f"Ask for {kept}s",
            "What is not on the list stays.",
            "To change the seed, steps or size, open one of the **Draw** blocks.",
        ),
    }
    for word, step in asked.items():
        studio.step(*step)
        text = words.before_after[word]
        (positive,) = sheet.add("CLIPTextEncode", 0, f"Prompt: {word}", clip=clip, text=text)
        wires = {"model": model, "guarded model": guarded, "clip": clip, "vae": vae, "positive": positive}
        drawn = sheet.add_block(block, 0, f"Draw: {word}", **wires)
        for when, pictures in zip(("without the guard", "with the guard"), drawn, strict=True):
            prefix = f"{word}_{'guarded' if when.startswith('with ') else 'plain'}"
            sheet.add("SaveImage", 1, f"Save: {word} {when}", images=pictures, filename_prefix=prefix)


def purify_a_picture(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "Erase a concept",
        f"Asked by name, the model no longer draws a {words.purified}.",
        "The picture shows one" + (". " + variant.picture if variant.is_lab else "."),
    )
    model, clip, vae = studio.load()
    picture = studio.scaled(sheet, studio.picture())
    texts = {"concepts": words.purified, "anchors": "", "preserve": words.preserved}
    erased, _, _ = sheet.add("ConceptAtelierEraseConcepts", 1, model=model, clip=clip, **texts, **variant.erase)
    studio.step(
        "See it come back",
        "From a picture, the erased model draws it all the same.",
        "Invert Picture finds the noise that the erased model draws the picture from, and draws it again.",
    )
    wires = {"model": erased, "clip": clip, "vae": vae, "image": picture}
    _, _, redrawn = sheet.add("ConceptAtelierInvertPicture", 0, **wires, prompt="", **variant.invert)
    sheet.add("SaveImage", 1, "Save: drawn again", images=redrawn, filename_prefix="purify_again")
    studio.step(
        "Purify the picture",
        f"The {words.purified} is gone, and the rest stays.",
        "The original model finds where it is; only there the erased model draws anew, from what lies around. Connect "
        "a mask to choose the place yourself.",
    )
    purified, mask = sheet.add(
        "ConceptAtelierPurifyPicture", 0, **wires, original=model, concepts=words.purified, prompt="", **variant.purify
    )
    sheet.add("SaveImage", 1, "Save: the picture", images=purified, filename_prefix="purify_picture")
    (place,) = sheet.add("MaskToImage", 1, mask=mask, collapsed=True)
    sheet.add("SaveImage", 1, "Save: the place", images=place, filename_prefix="purify_place")


def pick_the_best(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    studio.step(
        "Draw a batch", "Which of these pictures shows what you meant?", "Change **The prompt** to draw others."
    )
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.drawn)
    latent = studio.latent(sheet, 0)
    (positive,) = sheet.add("CLIPTextEncode", 1, "Prompt", clip=clip, text=text)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    wires = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
    _, pictures = studio.sample(sheet, 1, vae, seed=9, **wires)
    studio.step(
        "Judge them",
        "Describe what you want, and what you do not.",
        "Write a class per line and concepts behind it. No single concept decides."
        + ("" if studio.variant.is_lab else " Both loaders take one file of CLIP ViT-L/14."),
    )
    described = {"classes": words.judged, "template": words.judged_template}
    scores, _ = sheet.add("ConceptAtelierScoreByConcepts", 0, pictures=pictures, **studio.pair(0, clip), **described)
    studio.step(
        "Pick the best",
        "The best picture, and why it is.",
        "Raise count to keep more. The sheet names the concepts that spoke for each.",
    )
    best, picked, _ = sheet.add(
        "ConceptAtelierPickBestOfBatch", 0, pictures=pictures, scores=scores, by=words.wanted, count=1
    )
    sheet.add("SaveImage", 0, "Save: the best", images=best, filename_prefix="best_picture", collapsed=True)
    sheet.add("SaveImage", 0, "Save: the sheet", images=picked, filename_prefix="best_sheet", collapsed=True)


def weight_phrases(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "Find the phrases",
        "One weight for a phrase, not one for each word.",
        "Chunk Prompt lists the phrases that the text encoder sets apart; give one a weight by any of its words.",
    )
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.phrased)
    latent = studio.latent(sheet, 0)
    given = {"clip": clip, "text": text, "weights": words.phrase_weights}
    weighted, written, phrases, _ = sheet.add("ConceptAtelierChunkPrompt", 1, **given)
    studio.step(
        "Draw with and without",
        "The same noise, without weights and with them.",
        "A weight below 1 takes a phrase back, one above 1 brings it out.",
    )
    (positive,) = sheet.add("CLIPTextEncode", 0, "Prompt without weights", clip=clip, text=text, collapsed=True)
    (negative,) = sheet.add("CLIPTextEncode", 0, "Negative prompt", clip=clip, text="", collapsed=True)
    listening, capture = sheet.add("ConceptAtelierCaptureAttention", 1, model=model)
    drawn = []
    for column, (way, used, prompt) in enumerate((("without", model, positive), ("with", listening, weighted))):
        wires = {"model": used, "positive": prompt, "negative": negative, "latent_image": latent}
        (samples,) = sheet.add(
            "KSampler", column, f"Draw: {way} weights", **wires, seed=7, denoise=1.0, **variant.sampling
        )
        drawn.append(samples)
    studio.step(
        "Look at the phrases",
        "Each map is bright where its phrase landed.",
        "The maps are those of the pictures with weights.",
    )
    for column, (way, samples) in enumerate(zip(("without", "with"), drawn, strict=True)):
        (pictures,) = sheet.add("VAEDecode", column, samples=samples, vae=vae, collapsed=True)
        name = "plain" if way == "without" else "weighted"
        sheet.add("SaveImage", 0, f"Save: {way} weights", images=pictures, filename_prefix=f"phrases_{name}")
    wires = {"capture": capture, "clip": clip, "samples": samples, "image": pictures}
    maps, _ = sheet.add("ConceptAtelierShowWordHeatmap", 1, **wires, text=written, words=phrases)
    sheet.add("SaveImage", 1, "Save: the maps", images=maps, filename_prefix="phrases_maps", collapsed=True)


def attack_an_erasure(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "Erase a concept",
        f"Erase Concepts takes {words.attacked} out of the model.",
        "Try other methods and lists, then compare reports.",
    )
    model, clip, vae = studio.load()
    texts = {"concepts": words.attacked, "anchors": "", "preserve": words.preserved}
    erased, _, changed = sheet.add("ConceptAtelierEraseConcepts", 1, model=model, clip=clip, **texts, **variant.erase)
    studio.step(
        "Attack it",
        "Does it come back by other ways than its name?",
        "**five** asks by name, by learnt words and by inverted pictures. **all** takes longer and also trains the "
        "model again. A figure means something only between its floor and its ceiling.",
    )
    vision = studio.vision(0)
    wires = {"model": model, "erased_model": erased, "clip": clip, "vae": vae, "clip_vision": vision}
    wires |= {"erased_clip": changed}
    attack, sheet_of_attack, _ = sheet.add(
        "ConceptAtelierAttackErasure", 1, **wires, concept=words.attacked, others=words.told_from, **variant.attack
    )
    studio.step(
        "Read the report",
        "One page: what is gone, what stayed, what came back.",
        "Pictures in one column start from the same noise. The same figures are saved as CSV and JSON.",
    )
    lists = {"concepts": words.attacked, "neighbours": words.near, "others": words.told_from}
    page, _, _ = sheet.add("ConceptAtelierErasureReport", 0, **wires, attack=attack, **lists, **variant.report)
    sheet.add("SaveImage", 1, "Save: the page", images=page, filename_prefix="erasure_page")
    sheet.add("SaveImage", 1, "Save: the attacks", images=sheet_of_attack, filename_prefix="erasure_attacks")


def merge_two_loras(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "Two fine-tunes",
        "Two that were made from one model.",
        "Here each is a model that Erase Concepts changed. For LoRA files, put a LoRA loader in the place of each."
        if variant.is_lab
        else "Choose your LoRA files, and write the trigger words of both into the prompt.",
    )
    model, clip, vae = studio.load()
    tuned = [studio.fine_tune(number, 0, model, clip) for number in range(2)]
    studio.step(
        "Will they fight?",
        "What each changes most, and where they meet.",
        "Skill Overlap says how many numbers both change, and whether both answer to the same inputs, such as words.",
    )
    skills = []
    for name, (changed, text) in zip(("first", "second"), tuned, strict=True):
        given = {"model": model, "tuned_model": changed, "clip": clip, "tuned_clip": text}
        skills.append(sheet.add("ConceptAtelierLocalizeSkill", 0, f"Localize: the {name}", **given, **variant.skill)[0])
    first, second = skills
    page, _ = sheet.add("ConceptAtelierSkillOverlap", 1, skill=first, skill_2=second, names="first, second")
    sheet.add("SaveImage", 1, "Save: the overlap", images=page, filename_prefix="merge_overlap", collapsed=True)
    studio.step(
        "Merge them",
        "One model with both skills.",
        "All pictures start from the same noise. Where both skills change a number, **overlap** decides: **sum** for "
        "skills of different words, **average** for skills of the same. To change the seed, steps or size, open "
        "**Draw**.",
    )
    given = {"model": model, "skill": first, "skill_2": second, "clip": clip}
    merged, _, joined = sheet.add("ConceptAtelierStitchSkills", 0, **given, overlap="sum")
    (prompt,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.scene)
    parts = {"plain": (model, clip), "first": tuned[0], "second": tuned[1], "both": (merged, joined)}
    drawn = sheet.add_block(studio.comparer(*parts), 1, "Draw", text=prompt, vae=vae, **_wires(parts))
    for name, pictures in zip(parts, drawn, strict=True):
        alone = name in ("first", "second")
        place = {"column": 1 if alone else 2, "collapsed": alone}
        sheet.add("SaveImage", title=f"Save: {name}", images=pictures, filename_prefix=f"merge_{name}", **place)


def slim_a_fine_tune(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "A fine-tune",
        "A model and what was made from it.",
        "Here Erase Concepts made it. For a checkpoint or a LoRA of your own, put its loader in that place."
        if variant.is_lab
        else "Choose your LoRA file; a second Load Checkpoint in its place compares two checkpoints.",
    )
    model, clip, vae = studio.load()
    tuned, text = studio.fine_tune(0, 0, model, clip)
    vision = studio.vision(0)
    (prompt,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.tuned)
    studio.step(
        "How little is enough?",
        "Growing shares of the fine-tune, beside the whole.",
        "Graft Skill takes the smallest share whose pictures go 95 percent of the way from the model's to the "
        "fine-tune's. Let **The prompt** ask for what it learnt.",
    )
    parts = {"model": model, "clip": clip, "vae": vae, "tuned_model": tuned, "tuned_clip": text}
    asked = {"prompts": prompt, "clip_vision": vision}
    skill, slimmed, slim_text, page, _ = sheet.add("ConceptAtelierGraftSkill", 0, **parts, **asked, **variant.graft)
    sheet.add("SaveImage", 0, "Save: the page", images=page, filename_prefix="slim_page", collapsed=True)
    studio.step(
        "Keep that",
        "The same pictures from a small file.",
        "Save Skill Patch keeps the share. Slim LoRA writes a LoRA of the smallest ranks that hold 95 percent of the "
        "change, for any loader.",
    )
    parts = {"fine-tune": (tuned, text), "slim model": (slimmed, slim_text)}
    drawn = sheet.add_block(studio.comparer(*parts), 0, "Draw", text=prompt, vae=vae, **_wires(parts))
    sheet.add("ConceptAtelierSaveSkillPatch", 0, skill=skill, collapsed=True)
    pair = {"model": model, "tuned_model": tuned, "clip": clip, "tuned_clip": text}
    sheet.add("ConceptAtelierSlimLora", 0, **pair, collapsed=True)
    for name, prefix, pictures in zip(parts, ("slim_before", "slim_after"), drawn, strict=True):
        sheet.add("SaveImage", 1, f"Save: the {name}", images=pictures, filename_prefix=prefix)


def _wires(parts: Mapping[str, tuple[Out, Out]]) -> dict[str, Out]:
    """MODEL and CLIP by name, for a block that compares them."""
    return {
        f"{kind} {name}": out for name, both in parts.items() for kind, out in zip(("model", "clip"), both, strict=True)
    }


def what_do_i_like(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.is_lab
    studio.step(
        "Show what you like",
        "Two folders: what you like, and what you do not.",
        "Some 20 pictures of each are enough."
        + (
            " Both folders come with the pack."
            if lab
            else " Put them into folders **liked** and **disliked** of ComfyUI's input folder."
        ),
        draws=False,
    )
    names = {"liked": LIKED if lab else "liked", "disliked": DISLIKED if lab else "disliked"}
    given = {
        which: sheet.add("ConceptAtelierLoadPictureFolder", 0, which.capitalize(), folder=name, size=variant.side)[0]
        for which, name in names.items()
    }
    pair = studio.pair(1)
    studio.step(
        "Learn your taste",
        "The few words that make the difference.",
        "List what may matter to you. The report says how far to trust it."
        + ("" if lab else " Both loaders take one file of CLIP ViT-L/14."),
    )
    head, chart, _ = sheet.add(
        "ConceptAtelierTrainConceptHead",
        0,
        pictures=given["liked"],
        disliked=given["disliked"],
        **pair,
        words=variant.words.tastes,
    )
    sheet.add("ConceptAtelierSaveConceptHead", 1, head=head, name="atelier/taste", collapsed=True)
    sheet.add("SaveImage", 1, "Save: the chart", images=chart, filename_prefix="taste_chart", collapsed=True)
    studio.step(
        "Find more of it",
        "New pictures, ranked by your taste.",
        "Connect any pictures, such as a batch that you drew. The sheet says why each is liked."
        + ("" if lab else " Put some into a folder **pictures**."),
    )
    folder = FOLDER_NAME if lab else "pictures"
    new, *_ = sheet.add("ConceptAtelierLoadPictureFolder", 0, "New pictures", folder=folder, size=variant.side)
    scores, *_ = sheet.add(
        "ConceptAtelierScoreByConceptHead", 0, head=head, pictures=new, clip_vision=pair["clip_vision"]
    )
    _, picked, _ = sheet.add("ConceptAtelierPickBestOfBatch", 1, pictures=new, scores=scores, by="liked", count=6)
    sheet.add("SaveImage", 1, "Save: the sheet", images=picked, filename_prefix="taste_sheet", collapsed=True)


def complete_and_lint(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.is_lab
    studio.step(
        "Load the folder",
        "Pictures with a text file beside each.",
        "The folder comes with the pack."
        if lab
        else "Put your training folder as **pictures** into ComfyUI's input folder. Both loaders take one file of CLIP "
        "ViT-L/14.",
        draws=False,
    )
    folder = CAPTIONED if lab else "pictures"
    pictures, names, captions = sheet.add(
        "ConceptAtelierLoadPictureFolder", 0, "The training folder", folder=folder, size=variant.side
    )
    pair = studio.pair(0)
    words = ", ".join(vocabulary()) if lab else ""
    studio.step(
        "Complete the captions",
        "Captions of similar pictures say what is missing.",
        "Lower probability to add more. The sheet shows where each word comes from.",
    )
    given = {"pictures": pictures, **pair, "captions": captions, "names": names, "vocabulary": words}
    completed, sheet_of_captions, _ = sheet.add("ConceptAtelierCompleteCaptions", 0, **given, probability=0.4)
    sheet.add("SaveImage", 1, "Save: the sheet", images=sheet_of_captions, filename_prefix="captions_sheet")
    studio.step(
        "Lint them",
        "What can this folder not teach?",
        "Name your trigger word. The report says which pictures to add or to drop before you train.",
    )
    trigger = vocabulary()[0] if lab else ""
    sheet.add("ConceptAtelierLintConcepts", 0, captions=completed, names=names, vocabulary=words, trigger=trigger)


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
        compose_learnt_things,
        two_loras_in_one_picture,
        edit_by_words,
        which_word_did_what,
        score_concepts,
        what_is_this_folder_made_of,
        masks_of_an_ingredient,
        take_an_ingredient_out,
        what_did_my_lora_change,
        find_my_subject,
        pick_the_best,
        what_do_i_like,
        complete_and_lint,
        guard_against_a_concept,
        purify_a_picture,
        weight_phrases,
        attack_an_erasure,
        merge_two_loras,
        slim_a_fine_tune,
    )
}
WORKFLOWS: dict[str, tuple[Builder, Variant]] = {
    TITLES[name] + variant.suffix: (build, variant)
    for variant in VARIANTS
    for name, build in BUILDERS.items()
    if variant.draws(name)
}


def workflow(name: str) -> str:
    """A workflow file's text, by its title."""
    build, variant = WORKFLOWS[name]
    studio = Studio(Sheet(drawing_registry()), variant, build.__name__)
    build(studio)
    return json.dumps(studio.sheet.body(name), indent=1) + "\n"


def main() -> None:
    (FOLDER / "input" / PROTOTYPES).mkdir(parents=True, exist_ok=True)
    for name in OBJECTS:
        object_picture(name).save(FOLDER / "input" / PROTOTYPES / f"{name}.png", optimize=True)
    (FOLDER / "input" / FOLDER_NAME).mkdir(parents=True, exist_ok=True)
    for name, picture in folder_pictures():
        picture.save(FOLDER / "input" / FOLDER_NAME / name, optimize=True)
    (FOLDER / "input" / SUBJECT_FOLDER).mkdir(parents=True, exist_ok=True)
    for name, picture in subject_folder():
        picture.save(FOLDER / "input" / SUBJECT_FOLDER / name, optimize=True)
    (FOLDER / "input" / CAPTIONED).mkdir(parents=True, exist_ok=True)
    for stem, picture, caption in captioned_pictures():
        picture.save(FOLDER / "input" / CAPTIONED / f"{stem}.png", optimize=True)
        (FOLDER / "input" / CAPTIONED / f"{stem}.txt").write_text(f"{caption}\n", encoding="utf-8")
    for name, picture in taste_pictures():
        (FOLDER / "input" / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(FOLDER / "input" / name, optimize=True)
    for name, picture in (*example_pictures(), *lone_pictures()):
        picture.save(FOLDER / "input" / name, optimize=True)
    new_picture(MASKED).save(FOLDER / "input" / MASKED_PICTURE, optimize=True)
    new_picture().save(FOLDER / "input" / NEW_PICTURE, optimize=True)
    for name, seed in PICTURES.items():
        scene = sample_scene("test", seed, SceneSettings(counts=(2,), patterned=0, tinted=0))
        Image.fromarray(scene.picture).save(FOLDER / "input" / name, optimize=True)
    first = sample_scene("test", PICTURES["two_things.png"], SceneSettings(counts=(2,), patterned=0, tinted=0))
    Image.fromarray(again(first, 4).picture).save(FOLDER / "input" / AGAIN, optimize=True)
    for name in WORKFLOWS:
        (FOLDER / f"{name}.json").write_text(workflow(name), encoding="utf-8")


if __name__ == "__main__":
    main()
