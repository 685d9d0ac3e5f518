"""The workflows about ingredients: of a folder, in a new picture, taken out while drawing, and changed by a LoRA."""

from ..folder_pictures import FOLDER_NAME, MASKED_PICTURE, NEW_PICTURE
from ..sheet import Out
from ..studio import Studio


def _where(studio: Studio) -> str:
    """Where the folder's pictures come from, for a note."""
    if studio.variant.is_lab:
        return "The folder comes with the pack."
    return "First put your pictures, some 50 or more, into a folder **pictures** in ComfyUI's input folder."


def _folder(studio: Studio, column: int, wires: dict[str, Out]) -> dict[str, Out]:
    """The folder's pictures, their names and their activations, by the names of inputs."""
    sheet, variant = studio.sheet, studio.variant
    name = FOLDER_NAME if variant.is_lab else "pictures"
    pictures, names, _ = sheet.add("ConceptAtelierLoadPictureFolder", column, folder=name, size=variant.side)
    (activations,) = sheet.add(
        "ConceptAtelierRecordActivations", column, "Record: the folder", **wires, pictures=pictures
    )
    return {"pictures": pictures, "names": names, "activations": activations}


def what_is_this_folder_made_of(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.is_lab
    studio.note_height = 96
    studio.step(
        "Read the folder",
        "The model sees every picture.",
        "What it computes at each position is recorded, at one of its layers. " + _where(studio),
    )
    model, clip, vae = studio.load()
    wires = {"model": model, "clip": clip, "vae": vae}
    folder = _folder(studio, 0, wires)
    studio.step(
        "Find what recurs",
        "Ingredients are what the pictures are made of.",
        "Show Ingredients draws a row for each: the parts of pictures that have most of it, "
        + (
            "and the nearest word, or that no name is good."
            if lab
            else "and, with a CLIP Vision model and its own CLIP, the nearest word."
        )
        + " Try other methods, and more or fewer ingredients.",
    )
    (bank,) = sheet.add("ConceptAtelierFindIngredients", 0, activations=folder["activations"], **variant.ingredients)
    shown = {"bank": bank, **folder}
    if lab:
        shown |= {"clip_vision": studio.vision(0), "clip": clip}
    gallery, named, _, _ = sheet.add("ConceptAtelierShowIngredients", 1, **shown)
    sheet.add("SaveImage", 1, "Save: the gallery", images=gallery, filename_prefix="folder_gallery", collapsed=True)
    sheet.add("ConceptAtelierSaveIngredients", 1, bank=named, collapsed=True)
    studio.step(
        "Find them in a new picture",
        "Each ingredient is a mask in any picture.",
        "The masks serve inpainting, regional prompts and training. Write names or numbers of ingredients into "
        "Ingredient Masks to choose them; empty takes those that stand out most."
        + ("" if lab else " Choose a picture that is not in the folder."),
    )
    picture = studio.scaled(sheet, studio.picture(NEW_PICTURE))
    (seen,) = sheet.add("ConceptAtelierRecordActivations", 0, "Record: the picture", **wires, pictures=picture)
    given = {"bank": named, "activations": seen, "pictures": picture}
    masks, overlay, _, _ = sheet.add("ConceptAtelierIngredientMasks", 1, **given)
    (shapes,) = sheet.add("MaskToImage", 1, mask=masks, collapsed=True)
    sheet.add("SaveImage", 1, "Save: the overlay", images=overlay, filename_prefix="folder_overlay", collapsed=True)
    sheet.add("SaveImage", 1, "Save: the masks", images=shapes, filename_prefix="folder_masks", collapsed=True)


def _gallery(studio: Studio, folder: dict[str, Out], reader: str) -> Out:
    """A step that finds and shows what recurs in a folder, for the node that reads it."""
    sheet = studio.sheet
    studio.step(
        "Choose an ingredient",
        "Each row of the gallery is an ingredient.",
        f"Write its number into {reader}.",
    )
    found = {"activations": folder["activations"], **studio.variant.ingredients}
    (bank,) = sheet.add("ConceptAtelierFindIngredients", 0, **found)
    gallery, named, *_ = sheet.add("ConceptAtelierShowIngredients", 0, bank=bank, **folder)
    sheet.add("SaveImage", 0, "Save: the gallery", images=gallery, filename_prefix="all_rows", collapsed=True)
    return named


def masks_of_an_ingredient(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    chosen = variant.words.masked
    studio.note_height = 80  # the second step is as high as a laptop's screen
    studio.step("Read the folder", "The model sees every picture.", _where(studio))
    model, clip, vae = studio.load()
    wires = {"model": model, "clip": clip, "vae": vae}
    named = _gallery(studio, _folder(studio, 0, wires), "Ingredient Masks")
    studio.step(
        "Mask it",
        f"A mask of {chosen.called}, in a new picture.",
        "A plus sign joins ingredients, as in 9 + 12; a threshold of 0 gives a soft mask."
        + ("" if variant.is_lab else " Choose a picture that shows the ingredient."),
    )
    picture = studio.scaled(sheet, studio.picture(MASKED_PICTURE))
    (seen,) = sheet.add("ConceptAtelierRecordActivations", 0, "Record: the picture", **wires, pictures=picture)
    given = {"bank": named, "activations": seen, "pictures": picture, "ingredients": chosen.numbers, "threshold": 0.3}
    masks, overlay, *_ = sheet.add("ConceptAtelierIngredientMasks", 1, **given)
    (shape,) = sheet.add("MaskToImage", 1, mask=masks, collapsed=True)
    sheet.add("SaveImage", 1, "Save: the overlay", images=overlay, filename_prefix="one_overlay", collapsed=True)
    sheet.add("SaveImage", 1, "Save: the mask", images=shape, filename_prefix="one_mask", collapsed=True)
    studio.step(
        "Use it",
        "Inside the mask the picture is drawn anew.",
        "With more noise something new is drawn there: write a prompt to say what, and raise **guidance** to 4. Masks "
        "serve any inpainting, too."
        if variant.is_lab
        else "Write a prompt to say what to draw, and raise **guidance** to 7. Masks serve any inpainting, regional "
        "prompts and the training of LoRAs.",
    )
    drawn, _ = sheet.add(
        "ConceptAtelierPurifyPicture",
        0,
        **wires,
        image=picture,
        mask=masks,
        concepts=chosen.word,
        prompt="",
        **variant.repaint,
    )
    sheet.add("SaveImage", 0, "Save: the picture", images=drawn, filename_prefix="one_painted", collapsed=True)


def take_an_ingredient_out(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    chosen = variant.words.steered
    studio.note_height = 80  # the second step is as high as a laptop's screen
    studio.step("Read the folder", "The model sees every picture.", _where(studio))
    model, clip, vae = studio.load()
    named = _gallery(studio, _folder(studio, 0, {"model": model, "clip": clip, "vae": vae}), "Steer Ingredients")
    studio.step(
        "Take it out",
        f"{chosen.called.capitalize()} is no longer drawn.",
        "The node finds where the ingredient is about to be drawn, and draws something else there. No weight changes.",
    )
    wires = {"model": model, "clip": clip, "bank": named, "ingredients": chosen.numbers}
    (steered,) = sheet.add("ConceptAtelierSteerIngredients", 0, **wires, **variant.steer)
    studio.step(
        "Compare",
        "The same noise, with the ingredient and without.",
        "What does not show it stays: ask in one prompt for what shows the ingredient, and in the other for something "
        "else. To change the seed, steps or size, open one of the **Draw** blocks.",
    )
    block = studio.drawer("model", "steered model")
    for column, (word, text) in enumerate(chosen.asked.items(), 1):
        (positive,) = sheet.add("CLIPTextEncode", 0, f"Prompt: {word}", clip=clip, text=text)
        wires = {"model": model, "steered model": steered, "clip": clip, "vae": vae, "positive": positive}
        drawn = sheet.add_block(block, 0, f"Draw: {word}", **wires)
        for way, pictures in zip(("with it", "without it"), drawn, strict=True):
            prefix = f"{word}_{way.split()[0]}"
            sheet.add("SaveImage", column, f"Save: {word} {way}", images=pictures, filename_prefix=prefix)


def what_did_my_lora_change(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.step(
        "Draw without it and with it",
        "The same prompt and seeds, without the LoRA and with it.",
        "An erased word stands for a LoRA here: put **Load LoRA** in its place."
        if variant.is_lab
        else "Choose your LoRA, and write a prompt that it should change.",
    )
    model, clip, vae = studio.load()
    changed = _changed(studio, model, clip)
    (positive,) = sheet.add("CLIPTextEncode", 1, "Prompt", clip=clip, text=variant.words.compared)
    block = studio.drawer("model", "changed model", batch=variant.compared)
    wires = {"model": model, "changed model": changed, "clip": clip, "vae": vae, "positive": positive}
    drawn = sheet.add_block(block, 1, "Draw: both", **wires)
    for way, pictures in zip(("without", "with"), drawn, strict=True):
        sheet.add("SaveImage", 1, f"Save: {way} it", images=pictures, filename_prefix=f"lora_{way}", collapsed=True)
    studio.step(
        "Find what recurs",
        "Ingredients of both sets of pictures.",
        "The model without the LoRA reads both, so that they can be compared."
        + (
            " Where a LoRA may have changed many things, ask for more ingredients, such as 128."
            if variant.is_lab
            else ""
        ),
    )
    parts = {"model": model, "clip": clip, "vae": vae}
    without, having = (
        sheet.add("ConceptAtelierRecordActivations", 0, f"Record: {way} it", **parts, pictures=pictures)[0]
        for way, pictures in zip(("without", "with"), drawn, strict=True)
    )
    (bank,) = sheet.add("ConceptAtelierFindIngredients", 1, activations=without, more=having, **variant.audited)
    studio.step(
        "See what changed",
        "What the LoRA took away, and what it added.",
        "Each row is an ingredient, and below it the same places in the other set. REPORT says it in numbers.",
    )
    given = {"bank": bank, "reference": without, "reference_pictures": drawn[0], "drawn": having}
    found, *_ = sheet.add("ConceptAtelierAuditIngredients", 0, **given, drawn_pictures=drawn[1], paired=True)
    sheet.add("SaveImage", 0, "Save: the sheet", images=found, filename_prefix="lora_sheet", collapsed=True)


def _changed(studio: Studio, model: Out, clip: Out) -> Out:
    """The model with a LoRA; with the lab's, which has none, one that has unlearnt a word."""
    sheet, words = studio.sheet, studio.variant.words
    if not studio.variant.is_lab:
        (changed,) = sheet.add("LoraLoaderModelOnly", 0, model=model, lora_name="my_lora.safetensors")
        return changed
    texts = {"concepts": words.steered.word, "anchors": "", "preserve": words.preserved}
    wires, title = {"model": model, "clip": clip}, f"In place of a LoRA: no {words.steered.word}s"
    changed, *_ = sheet.add(
        "ConceptAtelierEraseConcepts", 0, title, collapsed=True, **wires, **texts, **studio.variant.erase
    )
    return changed
