"""Workflows that find a subject and judge pictures and captions."""

from ..captioned_pictures import FOLDER_NAME as CAPTIONED
from ..captioned_pictures import vocabulary
from ..folder_pictures import FOLDER_NAME
from ..studio import Studio
from ..subject_pictures import EXAMPLES
from ..subject_pictures import FOLDER_NAME as SUBJECT_FOLDER
from ..taste_pictures import DISLIKED, LIKED


def find_my_subject(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.is_lab
    studio.step(
        "Show your subject",
        "Paint a mask over the subject.",
        ("Both pictures come with the pack, with masks. " if lab else "Choose two pictures of it. ")
        + "To paint a mask, right-click a picture and open the mask editor."
        + studio.vision_file,
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
    pictures, names, *_ = sheet.add("ConceptAtelierLoadPictureFolder", 0, folder=name, size=variant.side, fit="pad")
    (folder,) = sheet.add(
        "ConceptAtelierRecordActivations", 0, "Record: the folder", clip_vision=vision, pictures=pictures, **site
    )
    given = {"bank": better, "activations": folder, "pictures": pictures, "names": names, "crop_size": variant.side}
    _, crops, found, *_ = sheet.add("ConceptAtelierFindPrototypes", 1, **given)
    for title, images, prefix in (("crops", crops, "subject_crops"), ("sheet", found, "subject_sheet")):
        sheet.add("SaveImage", 1, f"Save: the {title}", images=images, filename_prefix=prefix, collapsed=True)


def pick_the_best(studio: Studio) -> None:
    sheet, words = studio.sheet, studio.variant.words
    studio.step(
        "Draw a batch",
        "Which of them has the style you want?",
        "**The prompt** names no style, so each picture may have another one. Change it to draw others.",
    )
    model, clip, vae = studio.load()
    (text,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.drawn)
    latent = studio.latent(sheet, 0, batch=4)
    (positive,) = sheet.add("CLIPTextEncode", 1, "Prompt", clip=clip, text=text)
    (negative,) = sheet.add("CLIPTextEncode", 1, "Negative prompt", clip=clip, text="")
    wires = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
    _, pictures = studio.sample(sheet, 1, vae, seed=2, **wires)
    studio.step(
        "Judge them",
        "Say what you want.",
        "Write a class on each line, and behind it concepts that **The prompt** names. No single concept decides."
        + studio.pair_file,
    )
    described = {"classes": words.judged, "template": words.judged_template}
    scores, _ = sheet.add("ConceptAtelierScoreByConcepts", 0, pictures=pictures, **studio.pair(0, clip), **described)
    studio.step(
        "Pick the best",
        "The best picture, and why it is.",
        "Write the class that you want into **by**, and raise **count** to keep more. The sheet names the concepts "
        "that decided each score.",
    )
    best, picked, _ = sheet.add(
        "ConceptAtelierPickBestOfBatch", 0, pictures=pictures, scores=scores, by=words.wanted, count=1
    )
    sheet.add("SaveImage", 0, "Save: the best", images=best, filename_prefix="best_picture", collapsed=True)
    sheet.add("SaveImage", 0, "Save: the sheet", images=picked, filename_prefix="best_sheet", collapsed=True)


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
            else " Put them into folders **liked** and **disliked** in ComfyUI's input folder."
        )
        + studio.pair_file,
        draws=False,
    )
    folders = {"liked": LIKED if lab else "liked", "disliked": DISLIKED if lab else "disliked"}
    given = {
        which: sheet.add("ConceptAtelierLoadPictureFolder", 0, which.capitalize(), folder=name, size=variant.side)[0]
        for which, name in folders.items()
    }
    pair = studio.pair(1)
    studio.step(
        "Learn your taste",
        "The few words that make the difference.",
        "List what may matter to you. The report says how far to trust it.",
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
        + ("" if lab else " Put some into a folder **pictures** in ComfyUI's input folder."),
    )
    folder = FOLDER_NAME if lab else "pictures"
    new, names, _ = sheet.add("ConceptAtelierLoadPictureFolder", 0, "New pictures", folder=folder, size=variant.side)
    scores, *_ = sheet.add(
        "ConceptAtelierScoreByConceptHead", 0, head=head, pictures=new, clip_vision=pair["clip_vision"], names=names
    )
    _, picked, _ = sheet.add("ConceptAtelierPickBestOfBatch", 1, pictures=new, scores=scores, by="liked", count=6)
    sheet.add("SaveImage", 1, "Save: the sheet", images=picked, filename_prefix="taste_sheet", collapsed=True)


def complete_and_lint(studio: Studio) -> None:
    sheet, variant = studio.sheet, studio.variant
    lab = variant.is_lab
    studio.step(
        "Load the folder",
        "Pictures with captions.",
        "The folder comes with the pack."
        if lab
        else "Put your training folder as **pictures** into ComfyUI's input folder." + studio.pair_file,
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
    studio.step(
        "Write them",
        "A text file for each picture.",
        "They go into the output folder. With **place** set to *beside the pictures* they go into the training folder. "
        "Files that they replace are kept, with **.bak** behind their names.",
    )
    sheet.add("ConceptAtelierSaveCaptions", 0, captions=completed, names=names, folder="captions", existing="replace")
