"""Workflows about fine-tunes and training data."""

from ..studio import Studio, wires_of


def merge_two_loras(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "Two fine-tunes",
        "They share one model.",
        "Here each is a model that Erase Concepts changed. For LoRA files, put a LoRA loader in the place of each."
        if variant.is_lab
        else "Choose your LoRA files, and write the trigger words of both into the prompt.",
    )
    model, clip, vae = studio.load()
    tuned = [studio.fine_tune(0, model, clip, number) for number in range(2)]
    studio.step(
        "Will they fight?",
        "What each changes most, and where they meet.",
        "Skill Overlap says how many parameters both change, and whether both respond to the same inputs, such as "
        "words.",
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
        "All pictures start from the same noise. If both skills change a parameter, **overlap** decides: **sum** for "
        "skills of different words, **average** for skills of the same. To change the seed, steps or size, open "
        "**Draw**.",
    )
    given = {"model": model, "skill": first, "skill_2": second, "clip": clip}
    merged, _, joined = sheet.add("ConceptAtelierStitchSkills", 0, **given, overlap="sum")
    (prompt,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.scene)
    parts = {"plain": (model, clip), "first": tuned[0], "second": tuned[1], "both": (merged, joined)}
    drawn = sheet.add_block(studio.comparer(*parts), 1, "Draw", text=prompt, vae=vae, **wires_of(parts))
    for name, pictures in zip(parts, drawn, strict=True):
        alone = name in ("first", "second")
        place = {"column": 1 if alone else 2, "collapsed": alone}
        sheet.add("SaveImage", title=f"Save: {name}", images=pictures, filename_prefix=f"merge_{name}", **place)


def slim_a_fine_tune(studio: Studio) -> None:
    sheet, variant, words = studio.sheet, studio.variant, studio.variant.words
    studio.step(
        "A fine-tune",
        "Model and fine-tune.",
        "Here Erase Concepts made it. For a checkpoint or a LoRA of your own, put its loader in that place."
        if variant.is_lab
        else "Choose your LoRA file; a second Load Checkpoint in its place compares two checkpoints."
        + studio.vision_file,
    )
    model, clip, vae = studio.load()
    tuned, text = studio.fine_tune(0, model, clip)
    vision = studio.vision(0)
    (prompt,) = sheet.add("PrimitiveStringMultiline", 0, "The prompt", value=words.tuned)
    studio.step(
        "How little is enough?",
        "Shares of the fine-tune.",
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
    drawn = sheet.add_block(studio.comparer(*parts), 0, "Draw", text=prompt, vae=vae, **wires_of(parts))
    sheet.add("ConceptAtelierSaveSkillPatch", 0, skill=skill, collapsed=True)
    pair = {"model": model, "tuned_model": tuned, "clip": clip, "tuned_clip": text}
    sheet.add("ConceptAtelierSlimLora", 0, **pair, collapsed=True)
    for name, prefix, pictures in zip(parts, ("slim_before", "slim_after"), drawn, strict=True):
        sheet.add("SaveImage", 1, f"Save: the {name}", images=pictures, filename_prefix=prefix)
