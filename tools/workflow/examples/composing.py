"""Workflows that put concepts together."""

from collections.abc import Mapping
from typing import Any

from ..lone_pictures import LONE
from ..sheet import Out
from ..studio import Studio


def compose_learnt_things(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.note_height = 80  # the steps are as high as a laptop's screen
    studio.step(
        "Find the things",
        "Localize Concepts finds the things in the picture by itself.",
        "It shows them after a run. " + variant.picture + studio.vision_file,
    )
    model, clip, vae = studio.load()
    picture = studio.scaled(sheet, studio.picture())
    wires = {"model": model, "clip": clip, "vae": vae, "image": picture}
    concepts, *_ = sheet.add("ConceptAtelierLocalizeConcepts", 1, **wires, **variant.localize)
    vision = studio.vision(0)
    studio.step(
        "Learn them, and put them in their places",
        "Each thing becomes a word, and is drawn where you want it.",
        "<1> stands for the first thing, <2> for the second. Write a place for each: middle left, top right and so on, "
        "or a box of four numbers, about as large as the thing. Beside it **The prompt** is drawn without places, from "
        "the same noise.",
    )
    tokens, _, learnt = sheet.add(
        "ConceptAtelierLearnConceptTokens", 0, **wires, concepts=concepts, collapsed=True, **variant.learn
    )
    block = studio.drawer("model")
    (prompt,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=variant.words.together)
    texts = {"prompt": prompt, "concepts": "<1>\n<2>", "places": "middle right\nmiddle left"}
    composed, conditioning, regions = _composed(studio, texts, learnt, clip, tokens, variant.compose)
    (positive,) = sheet.add(
        "ConceptAtelierEncodeConceptPrompt",
        1,
        "Prompt: without places",
        clip=clip,
        tokens=tokens,
        text=prompt,
        collapsed=True,
    )
    sheet.align(1, 2)
    ways = {"without places": (learnt, positive), "in their places": (composed, conditioning)}
    for column, (title, (way, text)) in enumerate(ways.items(), 1):
        given = {"model": way, "clip": clip, "vae": vae, "positive": text}
        (pictures,) = sheet.add_block(block, column, f"Draw: {title}", **given)
        prefix = "unplaced" if way == learnt else "placed"
        sheet.add("SaveImage", column, f"Save: {title}", images=pictures, filename_prefix=prefix)
    studio.step(
        "See what leaked",
        "Is each thing once in its place?",
        "The sheet says how much of each thing lies in which region. **order** names the things of the regions.",
    )
    wires = {"clip_vision": vision, "pictures": pictures, "regions": regions, "image": picture, "concepts": concepts}
    scored, *_ = sheet.add("ConceptAtelierScoreComposition", 0, **wires, order="<1>, <2>")
    sheet.add("SaveImage", 0, "Save: the sheet", images=scored, filename_prefix="placed_sheet", collapsed=True)


def two_loras_in_one_picture(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.step(
        "Choose two things",
        "A picture of each thing.",
        "Write into **First thing** and **Second thing** what the pictures show, one word each. Localize Words finds "
        "each thing by its word, and the files and the marks in prompts are named by the words. "
        + ("The pictures come with the pack." if variant.is_lab else "Choose a picture of each."),
    )
    model, clip, vae = studio.load()
    words, named, shown = variant.words.of_two_pictures, [], []
    for which, word, name in zip(("First", "Second"), words, LONE, strict=True):
        named += sheet.add("PrimitiveString", 0, f"{which} thing", value=word)
        shown.append(studio.picture(name, f"{which} picture", 1))
    studio.step(
        "Learn each by itself",
        "Learn both things.",
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
        "Concept Conductor draws each thing in a pass of its own, with its own LoRA, and joins the passes in the "
        "places that **places** names. Beside it the same prompt is drawn by the words alone, from the same noise. If "
        f"you changed a word in the first step, write it in place of *{words[0]}* or *{words[1]}* here too: in **The "
        "prompt** and in **concepts** of Compose Concepts.",
    )
    marks = [f"<{word}>" for word in words]
    scene = f"a photo of {marks[0]} and {marks[1]} on {variant.words.ground}"
    (prompt,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=scene)
    texts = {"prompt": prompt, "concepts": "\n".join(marks), "places": "left\nright", "loras": loras}
    composed, conditioning, _ = _composed(studio, texts, model, clip, tokens, variant.compose_loras)
    (positive,) = sheet.add(
        "ConceptAtelierEncodeConceptPrompt",
        0,
        "Prompt: tokens alone",
        clip=clip,
        tokens=tokens,
        text=prompt,
        collapsed=True,
    )
    ways = {"tokens alone": (model, positive), "each LoRA in its place": (composed, conditioning)}
    drawer = studio.drawer("model", seed=2)
    for column, (title, (way, text)) in enumerate(ways.items(), 1):
        given = {"model": way, "clip": clip, "vae": vae, "positive": text}
        (pictures,) = sheet.add_block(drawer, column, f"Draw: {title}", **given)
        prefix = "two_tokens" if way == model else "two_loras"
        sheet.add("SaveImage", column, f"Save: {title}", images=pictures, filename_prefix=prefix)


def _composed(
    studio: Studio, texts: Mapping[str, Any], model: Out, clip: Out, tokens: Out, how: Mapping[str, Any]
) -> list[Out]:
    """MODEL, CONDITIONING and REGIONS of several concepts in one picture of the variant's size."""
    wires = {"model": model, "clip": clip, "tokens": tokens}
    side = {"width": studio.variant.side, "height": studio.variant.side}
    return studio.sheet.add("ConceptAtelierComposeConcepts", 0, **wires, **texts, **side, **how)[:3]
