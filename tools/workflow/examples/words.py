"""Workflows about the words of a prompt: where they land, what they do, their weights."""

from ..studio import Studio


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
        "Show Word Heatmap gets the same prompt; write into it which of its words to look up.",
    )
    wires = {"capture": capture, "clip": clip, "samples": samples, "image": pictures}
    heatmaps, _ = sheet.add("ConceptAtelierShowWordHeatmap", 0, **wires, text=text, words=words.looked_up)
    sheet.add("SaveImage", 1, "Save: the maps", images=heatmaps, filename_prefix="words_maps")


def edit_by_words(studio: Studio) -> None:
    sheet, words, variant = studio.sheet, studio.variant.words, studio.variant
    studio.step("Write a prompt", "Say what the picture shows.", "Change **The prompt** to draw something else.")
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.scene)
    studio.step(
        "Change a word",
        "The same picture with another word.",
        "Both pictures start from the same noise, and the second takes the first one's attention. Write **The prompt** "
        "with another word into **edited_prompt**.",
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
        "Ask what each word gives",
        "How much each word says about the picture, and where.",
        "Write words of **The prompt** into **words**. The node says it in nats. Choose **two words together**, "
        "with `standard` as the estimator, for what they have in common.",
    )
    given = {"image": before, "text": text, "words": words.looked_up, "draws": 50}
    maps, _ = sheet.add("ConceptAtelierShowWordInformation", 0, **wires, **given)
    sheet.add("SaveImage", 1, "Save: the maps", images=maps, filename_prefix="edit_maps")


def which_word_did_what(studio: Studio) -> None:
    sheet, words, variant = studio.sheet, studio.variant.words, studio.variant
    studio.step(
        "Draw a picture",
        "Which part of the picture is due to which word?",
        "Change **The prompt** to draw another. **The words** must be in it: the later steps ask about them.",
    )
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.scene)
    (asked,) = sheet.add("PrimitiveString", 0, "The words", value=words.things)
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
    _, masks, overlay, *_ = sheet.add("ConceptAtelierLocalizeWords", 0, **parts, words=asked, **variant.localize_words)
    sheet.add("SaveImage", 0, "Save: the masks", images=overlay, filename_prefix="which_masks", collapsed=True)
    studio.step(
        "Compare the maps",
        "Attention, information, and how far they agree.",
        "Each row is a word, each column a way to measure what it did. IoU says how well a map fits the mask.",
    )
    sheet_of_maps, _, _ = sheet.add("ConceptAtelierCompareWords", 0, **parts, masks=masks, text=text, words=asked)
    sheet.add("SaveImage", 1, "Save: the sheet", images=sheet_of_maps, filename_prefix="which_sheet")


def weight_phrases(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "Find the phrases",
        "One weight for a phrase, not one for each word.",
        "Chunk Prompt lists the phrases that the text encoder sets apart. Give one a weight by any of its words; the "
        "words in **weights** must be in **The prompt**.",
    )
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.phrased)
    latent = studio.latent(sheet, 0)
    given = {"clip": clip, "text": text, "weights": words.phrase_weights}
    weighted, written, phrases, _ = sheet.add("ConceptAtelierChunkPrompt", 1, **given)
    studio.step(
        "Draw with and without",
        "The same noise, without weights and with them.",
        "A phrase with a weight below 1 counts less, one with a weight above 1 counts more.",
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
        "The maps are those of the pictures with weights. A phrase of weight 0 has none, since nothing is left of it.",
    )
    for column, (way, samples) in enumerate(zip(("without", "with"), drawn, strict=True)):
        (pictures,) = sheet.add("VAEDecode", column, samples=samples, vae=vae, collapsed=True)
        name = "plain" if way == "without" else "with"
        sheet.add("SaveImage", 0, f"Save: {way} weights", images=pictures, filename_prefix=f"phrases_{name}")
    wires = {"capture": capture, "clip": clip, "samples": samples, "image": pictures}
    maps, _ = sheet.add("ConceptAtelierShowWordHeatmap", 1, **wires, text=written, words=phrases)
    sheet.add("SaveImage", 1, "Save: the maps", images=maps, filename_prefix="phrases_maps", collapsed=True)
