"""Workflows that erase concepts, guard against them, and attack the erasure."""

from ..studio import Studio, wires_of


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
        "Before and after start from the same noise. If you erase something else, change the prompts too. To change "
        "the seed, steps or size of all, open one of the **Draw** blocks.",
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


def train_an_erasure(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    gone, kept, *_ = words.before_after
    studio.step(
        f"Train {gone}s away",
        "The node shows its progress, and what the model draws meanwhile.",
        "List what must stay in **preserve**. If you cancel and queue again, the training continues from the last "
        "state that **keep_every** saved. **Erase Concepts** solves in seconds what this trains.",
    )
    model, clip, vae = studio.load()
    texts = {"concepts": gone, "anchors": "", "preserve": words.preserved}
    wires = {"model": model, "clip": clip, "vae": vae}
    erased, erasure, text = sheet.add("ConceptAtelierTrainErasure", 1, **wires, **texts, **variant.train_erasure)
    parts = {"before": (model, clip), "after": (erased, text)}
    block = studio.comparer(*parts)
    asked = {
        gone: (
            f"Ask for {gone}s",
            "The same noise, before and after.",
            "Some methods change MODEL and some change CLIP, so the drawings after the training take both. If you "
            "erase something else, change the prompts too.",
        ),
        kept: (
            f"Ask for {kept}s",
            "On your list, so it should look the same.",
            "To change the seed, steps or size, open one of the **Draw** blocks.",
        ),
    }
    for word, step in asked.items():
        studio.step(*step)
        (prompt,) = sheet.add("PrimitiveString", 0, f"Prompt: {word}", value=words.before_after[word])
        drawn = sheet.add_block(block, 0, f"Draw: {word}", text=prompt, vae=vae, **wires_of(parts))
        for when, pictures in zip(parts, drawn, strict=True):
            prefix = f"trained_{word}_{when}"
            sheet.add("SaveImage", 1, f"Save: {word} {when}", images=pictures, filename_prefix=prefix)
    studio.step(
        "Save the change",
        "The change becomes a file among your LoRAs.",
        "**Load LoRA** applies it; connect CLIP as well. **Attack Erasure** tells whether the concept can still be "
        "drawn by other means.",
    )
    sheet.add("ConceptAtelierSaveErasureAsLora", 0, erasure=erasure, name="atelier/trained", collapsed=True)


def erase_a_style(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    (gone, other, nothing), prompts = words.in_styles, words.in_styles
    studio.step(
        "Erase a style",
        f"{words.style[0].upper()}{words.style[1:]} is read as {words.style_anchor}.",
        "List the things and styles that must stay.",
    )
    model, clip, vae = studio.load()
    texts = {"concepts": words.style, "anchors": words.style_anchor, "preserve": words.kept_beside_style}
    erased, _, _ = sheet.add("ConceptAtelierEraseConcepts", 0, model=model, clip=clip, **texts, **studio.variant.erase)
    block = studio.drawer("model", "changed model")
    asked = {
        gone: (
            "Ask for it",
            "The thing is drawn, without the style.",
            "Both start from the same noise. If you erase another style, ask for that one.",
        ),
        other: (
            "Ask for another style",
            f"{other[0].upper()}{other[1:]} stays.",
            "Name further styles in **preserve**.",
        ),
        nothing: (
            "Ask for no style",
            "The thing alone stays as it was.",
            "To change the seed, steps or size, open one of the **Draw** blocks.",
        ),
    }
    for style, step in asked.items():
        studio.step(*step)
        (positive,) = sheet.add("CLIPTextEncode", 0, f"Prompt: {style}", clip=clip, text=prompts[style])
        wires = {"model": model, "changed model": erased, "clip": clip, "vae": vae, "positive": positive}
        drawn = sheet.add_block(block, 0, f"Draw: {style}", **wires)
        for when, pictures in zip(("before", "after"), drawn, strict=True):
            prefix = f"{style.replace(' ', '_')}_{when}"
            sheet.add("SaveImage", 1, f"Save: {style} {when}", images=pictures, filename_prefix=prefix)


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
            "Try other methods, and a lower or a higher strength. If you guard against something else, ask for that.",
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
        "The picture comes with the pack and shows one."
        if variant.is_lab
        else "Choose a picture that shows one, or write into **The concept** what yours shows.",
    )
    model, clip, vae = studio.load()
    (concept,) = sheet.add("PrimitiveString", 1, "The concept", value=words.purified)
    picture = studio.scaled(sheet, studio.picture())
    texts = {"concepts": concept, "anchors": "", "preserve": words.preserved}
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
        "ConceptAtelierPurifyPicture", 0, **wires, original=model, concepts=concept, prompt="", **variant.purify
    )
    sheet.add("SaveImage", 1, "Save: the picture", images=purified, filename_prefix="purify_picture")
    (place,) = sheet.add("MaskToImage", 1, mask=mask, collapsed=True)
    sheet.add("SaveImage", 1, "Save: the place", images=place, filename_prefix="purify_place")


def attack_an_erasure(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "Erase a concept",
        f"Erase Concepts takes {words.attacked}s out of the model.",
        "All steps read **The concept**. Try other methods and lists, then compare reports." + studio.vision_file,
    )
    model, clip, vae = studio.load()
    (concept,) = sheet.add("PrimitiveString", 0, "The concept", value=words.attacked)
    texts = {"concepts": concept, "anchors": "", "preserve": words.preserved}
    wires = {"model": model, "clip": clip}
    erased, edit, changed = sheet.add("ConceptAtelierEraseConcepts", 1, **wires, **texts, **variant.erase)
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
        "ConceptAtelierAttackErasure", 1, **wires, concept=concept, others=words.others, **variant.attack
    )
    studio.step(
        "Read the report",
        "One page: what is gone, what stayed, what came back.",
        "Pictures in one column start from the same noise. The same figures are saved as CSV and JSON.",
    )
    lists = {"concepts": concept, "neighbours": words.near, "others": words.others}
    wires |= {"attack": attack, "erasure": edit}
    page, _, _ = sheet.add("ConceptAtelierErasureReport", 0, **wires, **lists, **variant.report)
    sheet.add("SaveImage", 1, "Save: the page", images=page, filename_prefix="erasure_page")
    sheet.add("SaveImage", 1, "Save: the attacks", images=sheet_of_attack, filename_prefix="attacks")
