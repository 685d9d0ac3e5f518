"""Workflows that check a training folder and what was learnt from it."""

from ..studio import Studio
from ..training_pictures import FOLDER_NAME, SUBJECT, training_words


def from_folder_to_checked_lora(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    studio.note_height = 80  # the first step is as high as a laptop's screen
    lab, word = variant.is_lab, SUBJECT if variant.is_lab else variant.words.purified
    studio.step(
        "Check the captions",
        "Wrong captions are cheaper to find before training.",
        (
            "The folder comes with the pack; six captions are wrong."
            if lab
            else "Put your folder as **pictures** into ComfyUI's input folder." + studio.pair_file
        )
        + " **KEPT** are the pictures whose captions are right. Lint Concepts says what their captions cannot teach. "
        "Localize Words finds the subject, and Audit Focus says how much of the plain word's attention lies outside "
        f"it. Write your subject, one word, in place of *{word}* in these three nodes.",
    )
    folder = FOLDER_NAME if lab else "pictures"
    pictures, names, captions = sheet.add(
        "ConceptAtelierLoadPictureFolder", 0, "The training folder", folder=folder, size=variant.side
    )
    model, clip, vae = studio.load()
    given = {"pictures": pictures, **studio.pair(0, clip if lab else None), "captions": captions, "names": names}
    noise, *_, kept, texts, weights = sheet.add("ConceptAtelierCaptionNoise", 1, **given, filename_prefix="")
    sheet.add("SaveImage", 2, "Save: the captions", images=noise, filename_prefix="train_captions", collapsed=True)
    vocabulary = ", ".join(training_words()) if lab else ""
    sheet.add("ConceptAtelierLintConcepts", 2, captions=texts, vocabulary=vocabulary, trigger=word)
    wires = {"model": model, "clip": clip, "vae": vae, "image": kept}
    words = {**variant.localize_words, "words": word, "all_pictures": True}
    words |= {"margin": 0.0} if lab else {}
    found, masks, overlay, _, more = sheet.add("ConceptAtelierLocalizeWords", 1, **wires, **words, collapsed=True)
    sheet.add("SaveImage", 2, "Save: the masks", images=overlay, filename_prefix="train_masks", collapsed=True)
    before = {"text": f"a photo of {word}", "word": word, "mask": masks}
    sheet.add("ConceptAtelierAuditFocus", 1, "Audit Focus: the plain word", collapsed=True, **wires, **before)
    studio.step(
        "Learn the subject",
        "Its token, and a LoRA beside it.",
        "**picture_weights**: a doubtful caption counts less. **mask_weight** keeps the token's attention inside the "
        f"masks, so that it does not learn the background. In **start_words** too, write your subject in place "
        f"of *{word}*, twice.",
    )
    how = {"method": "conceptexpress", "preset": "small_values", "steps": 100} if lab else variant.learn_lora
    learning = {"concepts": found, "more": more, "start_words": f"{word}={word}", "mask_weight": 0.01}
    learning["picture_weights"] = weights
    tokens, _, learnt = sheet.add("ConceptAtelierLearnConceptTokens", 0, **wires, **learning, **how)
    studio.step(
        "Check what was learnt",
        "Is the token bound to its background?",
        "Audit Focus says how much of the token's attention lies outside the mask: no more than the plain word's, if "
        f"all is well. Draw it on grounds that the folder does not have. Write your subject in place of *{word}* in "
        "Audit Focus, in **The prompt** and in the name of the LoRA.",
    )
    asked = {"text": f"a photo of <{word}>", "word": f"<{word}>", "tokens": tokens, "mask": masks}
    asked |= {**wires, "model": learnt}
    _, heat, _ = sheet.add("ConceptAtelierAuditFocus", 0, "Audit Focus: the token", **asked)
    sheet.add("SaveImage", 0, "Save: the map", images=heat, filename_prefix="train_map", collapsed=True)
    sheet.add("ConceptAtelierSaveAdapterAsLora", 0, tokens=tokens, name=f"atelier/{word}", collapsed=True)
    sheet.add("ConceptAtelierSaveConceptTokens", 0, tokens=tokens, collapsed=True)
    scene = f"<{word}> on purple stripes" if lab else f"<{word}> on a beach at sunset"
    (positive,) = sheet.add("ConceptAtelierEncodeConceptPrompt", 1, "The prompt", clip=clip, tokens=tokens, text=scene)
    wires = {"model": learnt, "clip": clip, "vae": vae, "positive": positive}
    (drawn,) = sheet.add_block(studio.drawer("model"), 1, "Draw", **wires)
    sheet.add("SaveImage", 1, "Save: the pictures", images=drawn, filename_prefix="train_pictures")
