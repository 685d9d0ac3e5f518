"""From pictures to ingredients, names, masks and files, over the lab model at random weights."""

import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

from concept_atelier.core.explain.scores import PictureScores
from concept_atelier.host.jobs.explain.ingredients import usage
from concept_atelier.host.shared.errors import UnsupportedModelError
from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import (
    AuditIngredients,
    FindIngredients,
    FindStrategyClusters,
    IngredientImportance,
    IngredientMasks,
    LoadIngredients,
    LoadPictureFolder,
    RecordActivations,
    SaveIngredients,
    ShowIngredients,
)


@pytest.fixture(scope="module")
def pictures():
    """IMAGE (5, 64, 96, 3): a bright square in another place each."""
    made = torch.full((5, 64, 96, 3), 0.2)
    for number in range(5):
        made[number, 8:40, 8 + 10 * number : 40 + 10 * number] = torch.tensor([0.9, 0.2, 0.1])
    return made


@pytest.fixture(scope="module")
def vision():
    return load_vision()


@pytest.fixture(scope="module")
def recorded(call, pictures, vision):
    return call(RecordActivations, pictures=pictures, clip_vision=vision)[0]


@pytest.fixture(scope="module")
def bank(call, recorded):
    return call(FindIngredients, activations=recorded, count=4, method="kmeans", fits=2)[0]


def test_an_encoder_is_recorded(recorded):
    assert recorded.rows.shape == (5, 64, 96) and recorded.grid == (8, 8)
    assert recorded.origin.kind == "encoder" and recorded.origin.site == "8"


def test_a_denoiser_is_recorded_and_stays_as_it_is(call, pictures, sockets, hooks_of):
    before = hooks_of()
    found = call(RecordActivations, pictures=pictures, **sockets)[0]
    assert found.grid == (4, 6) and found.rows.shape == (5, 24, 128) and hooks_of() == before
    assert found.origin.site == "up_blocks.1.attentions.1.transformer_blocks.0.attn1" and found.origin.noise == 0.1
    alone = call(RecordActivations, pictures=pictures[:2], **sockets)[0]
    torch.testing.assert_close(alone.rows, found.rows[:2], rtol=1e-3, atol=1e-4)


def test_a_transformer_is_recorded(call, pictures, transformer):
    found = call(RecordActivations, pictures=pictures[:2], **transformer)[0]
    assert found.rows.shape[:2] == (2, found.grid[0] * found.grid[1]) and found.origin.width > 0


def test_ingredients_are_shown_named_and_masked(call, bank, recorded, pictures, vision, sockets):
    given = {"bank": bank, "activations": recorded, "pictures": pictures}
    words = "red, green, blue, cat"
    sheet, renamed, report, scores = call(
        ShowIngredients, **given, clip_vision=vision, clip=sockets["clip"], words=words
    )
    assert sheet.ndim == 4 and len(sheet) == 1 and len(renamed) == 4
    assert scores.values.shape == (5, 4) and scores.names == renamed.names
    assert "valid for lab image tower, site 8 alone" in report.splitlines()[-1]
    gallery, _, plain, _ = call(ShowIngredients, **given)
    named, _, _, scores = call(ShowIngredients, **given, names="a\nb\nc\nd\ne")
    assert scores.pictures == tuple("abcde") and named.shape == gallery.shape and not torch.equal(named, gallery)
    assert len(plain.splitlines()) == 6 and "There is no linear probe to compare with" in plain
    captions = "a cat\na cat and a dog\na dog\na cat\nnothing"
    beside = call(ShowIngredients, **given, captions=captions)[2]
    assert "Labels by captions" in beside and "separability" in beside and "cat: ingredient" in beside
    assert "The plain linear probe is better for" in beside
    assert "Rough figures: fewer than 20 pictures show, or lack, all labels." in beside
    with pytest.raises(ValueError, match="5 pictures and 2 captions"):
        call(ShowIngredients, **given, captions="a cat\na dog")
    masks, overlay, names, codes = call(IngredientMasks, **given, ingredients="1, 2")
    assert masks.shape == (10, 64, 96) and set(masks.unique().tolist()) <= {0.0, 1.0}
    assert len(overlay) == 5 and names == "1\n2" and codes.values.shape == (5, 64, 4)
    both, _, name, _ = call(IngredientMasks, **given, ingredients="1 + 2")
    assert name == "1 + 2" and torch.equal(both, torch.maximum(masks[:5], masks[5:]))
    for outline in ("smooth", "edges"):
        soft = call(IngredientMasks, **given, threshold=0.0, outline=outline)[0]
        assert float(soft.min()) >= 0 and float(soft.max()) <= 1


def test_masks_are_listed_with_their_ingredients_and_where_nothing_is(call, bank, recorded, pictures):
    given = {"bank": bank.renamed({1: "cat"}), "activations": recorded, "pictures": pictures}
    said = call(IngredientMasks, **given, ingredients="1 + CAT, 3", threshold=1.0).ui["text"][0]
    assert said.splitlines() == ["Mask 1 is 1 + 2 cat: above 1 nowhere.", "Mask 2 is 3: above 1 nowhere."]
    said = call(IngredientMasks, **given, ingredients="3", threshold=0.01).ui["text"][0]
    assert re.fullmatch(r"Mask 1 is 3: above 0.01 in [1-5] of 5 pictures\.", said)


def test_an_ingredient_is_taken_apart_at_an_earlier_layer(call, bank, recorded, pictures, vision):
    codes = call(IngredientMasks, bank=bank, activations=recorded, pictures=pictures)[3]
    earlier = call(RecordActivations, pictures=pictures, clip_vision=vision, site="16")[0]
    given = {"activations": earlier, "parts_of": codes}
    parts = call(FindIngredients, **given, ingredient="2", count=2, method="kmeans", fits=1)[0]
    assert parts.names == ("2.1", "2.2")
    report = call(ShowIngredients, bank=parts, pictures=pictures, **given)[2]
    assert "Parts of ingredient 2 of the layer 8." in report
    masks = call(IngredientMasks, bank=parts, pictures=pictures, **given, ingredients="2.1")[0]
    assert masks.shape == (5, 64, 96)
    with pytest.raises(ValueError, match="there is no ingredient '9'"):
        call(FindIngredients, **given, ingredient="9", count=2, method="kmeans", fits=1)


def test_ingredients_are_looked_for_in_either_half_of_the_pictures(call, recorded, pictures):
    bank = call(FindIngredients, activations=recorded, count=3, method="kmeans", fits=1, halves=True)[0]
    assert bank.halves.shape == (3,)
    said = call(ShowIngredients, bank=bank, activations=recorded, pictures=pictures)[2]
    assert "in halves of the pictures" in said


def test_ingredients_come_back_from_their_file(call, bank):
    name = call(SaveIngredients, bank=bank, name="mine")[0]
    again = call(LoadIngredients, name=name)[0]
    assert torch.equal(again.directions, bank.directions) and again.origin == bank.origin


def test_what_does_not_fit_is_refused(call, bank, recorded, pictures, vision, sockets):
    other = call(RecordActivations, pictures=pictures, clip_vision=vision, site="4")[0]
    with pytest.raises(ValueError, match="160 numbers per position instead of 96"):
        call(ShowIngredients, bank=bank, activations=other, pictures=pictures)
    with pytest.raises(ValueError, match="of 5 pictures, and 2 are connected"):
        call(ShowIngredients, bank=bank, activations=recorded, pictures=pictures[:2])
    with pytest.raises(ValueError, match="both CLIP_VISION and CLIP"):
        call(ShowIngredients, bank=bank, activations=recorded, pictures=pictures, clip_vision=vision)
    with pytest.raises(ValueError, match="missing: CLIP, VAE"):
        call(RecordActivations, pictures=pictures, model=sockets["model"])
    with pytest.raises(ValueError, match="both are connected"):
        call(RecordActivations, pictures=pictures, clip_vision=vision, **sockets)
    with pytest.raises(ValueError, match="no site '7'; it has 16, 8, 4"):
        call(RecordActivations, pictures=pictures, clip_vision=vision, site="7")
    with pytest.raises(ValueError, match="no layer fits the site 'nowhere'"):
        call(RecordActivations, pictures=pictures, site="nowhere", **sockets)
    with pytest.raises(UnsupportedModelError, match="CLIP_VISION is a"):
        call(RecordActivations, pictures=pictures, clip_vision=object())


def test_a_folder_is_one_batch_of_squares(call, here):
    folder = here.input[0] / "style"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 20), (255, 0, 0)).save(folder / "b.png")
    Image.new("RGBA", (10, 30), (0, 255, 0, 0)).save(folder / "a.png")
    batch, names, _ = call(LoadPictureFolder, folder="style", size=32, fit="pad")
    assert batch.shape == (2, 32, 32, 3) and names == "a.png\nb.png"
    torch.testing.assert_close(batch[0], torch.full((32, 32, 3), 0.5))
    assert batch[1, 16, 16].tolist() == pytest.approx([1, 0, 0]) and batch[1, 1, 16].tolist() == pytest.approx(
        [0.5] * 3
    )
    assert call(LoadPictureFolder, folder="style", size=32, limit=1)[0].shape[0] == 1
    assert LoadPictureFolder.validate_inputs(folder="none") != True  # noqa: E712


def test_importance_for_a_text_by_the_encoder_that_was_recorded(call, bank, recorded, pictures, vision, sockets):
    given = {"bank": bank, "activations": recorded, "pictures": pictures, "clip_vision": vision}
    bars, curves, scores, report = call(
        IngredientImportance, **given, clip=sockets["clip"], text="cat", most=2, points=8
    )
    assert bars.ndim == curves.ndim == 4 and scores.values.shape == (2, 4) and bool(scores.values.any())
    assert 'importance for how well the picture fits "cat"' in report and "better than random in" in report
    gradient = call(IngredientImportance, **given, clip=sockets["clip"], text="cat", measure="gradient", check=False)
    assert gradient[2].values.shape == (5, 4) and "random" not in gradient[3]
    own = call(IngredientImportance, **given, most=1, points=4)[3]
    assert "how much of the picture's features stays" in own


@pytest.mark.parametrize("of", ["sockets", "transformer"])
def test_importance_for_what_a_model_predicts(call, pictures, of, request, hooks_of):
    parts = request.getfixturevalue(of)
    found = call(RecordActivations, pictures=pictures, **parts)[0]
    bank = call(FindIngredients, activations=found, count=3, method="semi_nmf", fits=1)[0]
    given = {"bank": bank, "activations": found, "pictures": pictures, "most": 1, "points": 4} | parts
    before = hooks_of() if of == "sockets" else None
    scores = call(IngredientImportance, **given)[2]
    assert bool((scores.values != 0).any()) and float(scores.values.abs().max()) < 2
    worded = call(IngredientImportance, **given, text="cat", measure="gradient")
    removed = call(IngredientImportance, **given, text="cat", measure="removal", check=False)
    assert bool((worded[2].values != 0).any()) and bool((removed[2].values != 0).any())
    assert before is None or hooks_of() == before


def test_importance_for_what_separates_pictures_from_others(call, bank, recorded, pictures, vision):
    others = call(RecordActivations, pictures=1 - pictures, clip_vision=vision)[0]
    given = {"bank": bank, "activations": recorded, "pictures": pictures}
    scores, report = call(IngredientImportance, **given, others=others)[2:]
    assert "Closed form" in report and "AUROC of" in report and scores.values.shape == (5, 4)
    assert "arder to learn than what they explain" in report or "Hard to learn" in report
    with pytest.raises(ValueError, match="connect it as CLIP_VISION"):
        call(IngredientImportance, **given)
    with pytest.raises(ValueError, match="needs the CLIP that was trained"):
        call(IngredientImportance, **given, clip_vision=vision, text="cat")
    with pytest.raises(ValueError, match="Choose sobol or removal"):
        call(IngredientImportance, **given, clip_vision=vision, measure="gradient")


def test_drawings_are_compared_with_a_reference(call, bank, recorded, pictures, vision):
    dark = 0.3 * pictures
    drawn = call(RecordActivations, pictures=dark, clip_vision=vision)[0]
    given = {"bank": bank, "reference": recorded, "reference_pictures": pictures, "factor": 1.1}
    sheet, scores, report = call(AuditIngredients, **given, drawn=drawn, drawn_pictures=dark)
    assert sheet.ndim == 4 and scores.values.shape == (1, 4) and "A plain linear probe" in report
    assert "valid for lab image tower" in report
    same = call(AuditIngredients, **given, drawn=recorded, drawn_pictures=pictures)
    assert "No ingredient differs" in same[2] and same[1].values.tolist()[0] == pytest.approx([1] * 4)
    with pytest.raises(ValueError, match="of 5 pictures, and 2 are connected"):
        call(AuditIngredients, **given, drawn=drawn, drawn_pictures=dark[:2])
    pairs, _, report = call(AuditIngredients, **given, drawn=drawn, drawn_pictures=dark, paired=True)
    assert "Pairs that changed most, of 5" in report and pairs.shape[1] > sheet.shape[1]


def test_ingredients_of_two_sets_together(call, recorded, vision, pictures):
    other = call(RecordActivations, pictures=1 - pictures, clip_vision=vision)[0]
    both = call(FindIngredients, activations=recorded, more=other, count=3, method="kmeans", fits=1)[0]
    assert both.metadata["pictures"] == "10"
    coarse = call(RecordActivations, pictures=pictures, clip_vision=vision, site="4")[0]
    with pytest.raises(ValueError, match="recorded alike"):
        call(FindIngredients, activations=recorded, more=coarse, count=3, method="kmeans", fits=1)


def test_pictures_are_grouped_by_what_matters_in_them(call, pictures):
    values = torch.tensor([[1.0, 0], [0, 1], [0.9, 0.1], [0, 2], [2, 0.1]])
    given = {"scores": PictureScores(values, ("a", "b"), "importance", "Valid for a toy."), "pictures": pictures}
    sheet, chosen, groups, report = call(
        FindStrategyClusters, **given, group=2, names="1.png\n2.png\n3.png\n4.png\n5.png"
    )
    assert sheet.ndim == 4 and groups == "1.png, 3.png, 5.png\n2.png, 4.png"
    assert torch.equal(chosen, pictures[[1, 3]])
    assert "Group 1: 3 of 5 pictures" in report and "b (1.5, elsewhere 0.0667; first in 100%)" in report
    assert call(FindStrategyClusters, **given, groups=1)[2] == "1, 2, 3, 4, 5"
    known = {**given, "scores": given["scores"].of_pictures("abcde")}
    named = call(FindStrategyClusters, **known, groups=1)
    assert named[2] == "a, b, c, d, e" and not torch.equal(named[0], call(FindStrategyClusters, **given, groups=1)[0])
    with pytest.raises(ValueError, match="1 name was given for 5 pictures"):
        call(FindStrategyClusters, **given, names="1.png")
    with pytest.raises(ValueError, match="scores are of 5 pictures, and 2 are connected"):
        call(FindStrategyClusters, scores=given["scores"], pictures=pictures[:2])


def test_a_bank_says_how_many_ingredients_a_position_uses(bank):
    assert usage(bank).startswith("A position uses 1.0 of the 4, all of them are used somewhere, and the two most")
    silent = replace(bank, usual=torch.tensor([1.0, 0, 0, 1]))
    assert "2 of them are never used" in usage(silent)
    axes = torch.eye(2, len(bank.centre))
    opposite = replace(bank, directions=torch.cat([axes, -axes]))
    assert usage(opposite).endswith("the two most alike agree to 0.00.")  # both ends of an axis are not alike
    assert usage(replace(bank, metadata={})) == ""


def test_masks_of_something_known_are_a_grade_for_each_ingredient(call, bank, recorded, pictures):
    given = {"bank": bank, "activations": recorded, "pictures": pictures, "ingredients": "1, 2"}
    masks = call(IngredientMasks, **given, threshold=0.0)[0][:5]
    known = (masks == masks.flatten(1).amax(1)[:, None, None]).float()  # the strongest place of the first one
    known[0] = 0
    made = call(IngredientMasks, **given, known=known)
    lines = made.ui["text"][0].split("\n") if len(made.ui["text"]) == 1 else list(made.ui["text"])
    said = "\n".join(lines)
    assert "Beside what is known, which covers" in said and "1: points into it in 100%" in said and "2: points" in said
    assert "tells the pictures by" in said
    with pytest.raises(ValueError, match="there are 5 pictures and 2 masks"):
        call(IngredientMasks, **given, known=known[:2])
