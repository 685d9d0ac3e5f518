"""Concept Conductor: a pass for each concept, put into the prompt's own."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import AttentionInputs, EditedOutput
from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.methods.concept_conductor import ConductorSettings, _Conductor
from concept_atelier.core.compose.parts.layout import keys_of, layout_loss
from concept_atelier.core.compose.parts.shape_masks import best_cluster, clusters_of, refined
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.compose.wording import branch_text
from concept_atelier.core.sampling import with_rows

PROMPT, TEXTS = "a cat and a rocket", ("a cat", "a rocket")
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1
STILL = ConductorSettings(layout=0, refine_until=0)


def composed(backbone, masks=(LEFT, 1 - LEFT), texts=TEXTS, prompt=PROMPT, **options):
    concepts = [Concept(text, mask, **options) for text, mask in zip(texts, masks, strict=True)]
    return compose(backbone, prompt, concepts, branches=True)


def begun(backbone, composition, settings):
    return METHODS["concept_conductor"].begin(composition, settings, share_of(backbone.schedule.steps))


@pytest.mark.parametrize(
    ("prompt", "texts", "chosen", "expected"),
    [
        ("a dog and a cat on the beach", ("a dog", "a cat"), "a cat", "a cat and a cat on the beach"),
        ("A dog, a doghouse", ("a dog", "a cat"), "a cat", "a cat, a doghouse"),
        ("a red cat and a cat", ("a cat", "a red cat"), "a red cat", "a red cat and a red cat"),
        ("a photo of <1> and <2>", ("<1>", "<2>"), "<2>", "a photo of <2> and <2>"),
        ("a street", ("a dog", "a cat"), "a cat", "a cat"),
    ],
)
def test_a_branch_reads_the_prompt_with_its_concept_in_place_of_all(prompt, texts, chosen, expected):
    assert branch_text(prompt, texts, chosen) == expected


def test_the_context_holds_the_prompt_and_then_each_branch(lab_backbone):
    composition = composed(lab_backbone)
    branch = lab_backbone.encode_text(["a rocket and a rocket"]).context
    torch.testing.assert_close(composition.conditioning.context[:, composition.regions[1].columns], branch)


def layers(backbone, run, composition, latent, time):
    """What the decoder's layers give in the prompt's pass, by name."""
    seen = {}

    def edit(inputs: AttentionInputs):
        output = run.edit(inputs)
        if inputs.call.site.stage == "up":
            seen[inputs.call.site.name] = EditedOutput.of(output).heads
        return output

    with torch.no_grad(), backbone.edit_attention(edit):
        backbone.predict_noise(latent, time, with_rows(composition.conditioning, len(latent)))
    return seen


def test_a_mask_over_the_whole_picture_draws_the_decoder_of_the_branch(lab_backbone):
    composition = composed(lab_backbone, (torch.ones(8, 8),), ("a whale",))
    run, latent, time = begun(lab_backbone, composition, STILL), torch.randn(2, 4, 8, 8), torch.full((2,), 500)
    assert run.before(lab_backbone, latent, time) is latent
    ours = layers(lab_backbone, run, composition, latent, time)
    text = with_rows(lab_backbone.encode_text(["a whale"]), 2)
    kept = {}

    def keep(inputs: AttentionInputs):
        weights = (inputs.call.query * inputs.call.scale @ inputs.call.key.mT).softmax(-1)
        kept[inputs.call.site.name] = weights @ inputs.value

    with torch.no_grad(), lab_backbone.edit_attention(keep):
        lab_backbone.predict_noise(latent, time, text)
    assert set(ours) < set(kept) and len(ours) > 0
    for name, output in ours.items():
        torch.testing.assert_close(output, kept[name], rtol=1e-3, atol=1e-4)


def test_in_its_region_a_concept_is_its_branch_and_elsewhere_the_prompt(lab_backbone):
    """In the first layer of the decoder, behind which cells read each other."""
    one = composed(lab_backbone, (LEFT,), ("a cat",))
    other = composed(lab_backbone, (LEFT,), ("a whale",))
    latent, time = torch.randn(1, 4, 8, 8), torch.full((1,), 500)
    outputs = []
    for composition in (one, other):
        run = begun(lab_backbone, composition, STILL)
        run.before(lab_backbone, latent, time)
        outputs.append(next(iter(layers(lab_backbone, run, composition, latent, time).values())))
    side = int(outputs[0].shape[2] ** 0.5)
    grids = [output.unflatten(2, (side, side)) for output in outputs]
    assert torch.equal(grids[0][..., side // 2 :, :], grids[1][..., side // 2 :, :])
    assert not torch.allclose(grids[0][..., : side // 2, :], grids[1][..., : side // 2, :], atol=1e-4)


def test_moves_bring_the_keys_of_all_passes_together(lab_backbone):
    composition = composed(lab_backbone)
    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.full((1,), 900)
    site = next(one for one in lab_backbone.attention_sites() if one.kind == "self" and one.stage == "up")
    contexts = [composition.prompt.context] + [
        composition.conditioning.context[:, region.columns] for region in composition.regions
    ]

    def apart(moved):
        base, *own = (
            keys_of(lab_backbone, moved, time, replace(composition.conditioning, context=text), site)
            for text in contexts
        )
        return float(layout_loss(base, own, base, 1.0))

    settings = replace(STILL, layout=1.0, most_move=0.01)
    moved = begun(lab_backbone, composition, settings).before(lab_backbone, latent, time)
    assert float((moved - latent).norm()) <= 0.0101 * float(latent.norm())
    with torch.no_grad():
        assert apart(moved) < apart(latent)


def test_a_reference_of_another_size_is_refused(lab_backbone):
    composition = replace(composed(lab_backbone), reference=torch.randn(1, 4, 8, 12))
    run = begun(lab_backbone, composition, ConductorSettings())
    with pytest.raises(ValueError, match="the reference is 12x8 latent cells and the picture 8x8"):
        run.before(lab_backbone, torch.randn(1, 4, 8, 8), torch.full((1,), 900))


def test_a_reference_changes_where_the_latent_moves(lab_backbone):
    composition, latent = composed(lab_backbone), torch.randn(1, 4, 8, 8)
    one, other = (
        begun(lab_backbone, replace(composition, reference=given), ConductorSettings()).before(
            lab_backbone, latent, torch.full((1,), 900)
        )
        for given in (None, torch.randn(1, 4, 8, 8))
    )
    assert not torch.equal(one, other)


def blocks(*parts):
    """Self-attention (64, 64) in which the cells of each part (8, 8) of 1 and 0, and those of none, read their own."""
    flat = torch.stack([*parts, 1 - torch.stack(parts).amax(0)]).flatten(1)  # (P + 1, 64)
    return flat.T @ flat


def test_a_mask_takes_the_shape_that_is_drawn():
    thing, box = torch.zeros(8, 8), torch.zeros(8, 8)
    thing[2:6, 1:4], box[1:7, 0:4] = 1, 1
    right = torch.zeros(8, 8)
    right[1:7, 5:8] = 1
    attention = blocks(thing, right)
    masks = refined(torch.stack([box, right]), [attention, attention], attention, 0.3)
    assert torch.equal(masks, torch.stack([thing, right]))
    kept = refined(torch.stack([box, right]), [attention, None], attention, 0.9)
    assert torch.equal(kept[1], right) and torch.equal(kept[0], box)


def test_a_cell_that_two_claim_goes_back_to_the_mask_before():
    both, left, right = torch.zeros(8, 8), torch.zeros(8, 8), torch.zeros(8, 8)
    both[2:6, 1:7], left[2:6, 1:4], right[2:6, 4:7] = 1, 1, 1
    attention = blocks(both)
    assert torch.equal(
        refined(torch.stack([left, right]), [attention, attention], attention, 0.0), torch.stack([left, right])
    )


def test_the_best_cluster_is_that_with_the_largest_iou():
    clusters = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]).bool()
    mask = torch.tensor([[1, 1], [1, 0]]).bool()
    assert torch.equal(best_cluster(clusters, mask, 0.0), clusters[1])
    assert bool(best_cluster(clusters, mask, 0.9).all())
    assert len(clusters_of(torch.eye(4), 2, 3)) == 5


def test_a_weight_above_one_is_no_more_than_the_branch(lab_backbone):
    latent, time = torch.randn(1, 4, 8, 8), torch.full((1,), 500)
    outputs = []
    for weight in (1.0, 2.0):
        composition = composed(lab_backbone, (LEFT,), ("a cat",))
        composition = replace(composition, regions=(replace(composition.regions[0], weight=weight),))
        run = begun(lab_backbone, composition, STILL)
        run.before(lab_backbone, latent, time)
        outputs.append(layers(lab_backbone, run, composition, latent, time))
    assert all(torch.equal(outputs[0][name], outputs[1][name]) for name in outputs[0])


def test_masks_take_new_shapes_in_their_span_and_as_often_as_said(lab_backbone):
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))

    def after(*times, **changes):
        settings = ConductorSettings(layout=0, **changes)
        conductor = _Conductor(composed(lab_backbone), settings, share_of(lab_backbone.schedule.steps))
        for time in times:
            with torch.no_grad():
                assert conductor.step(lab_backbone, latent, torch.full((1,), time)) is latent
        return conductor

    once = after(700)  # 0.3 of denoising
    grid = tuple(once.shapes.shape[-2:])
    assert once.shapes.shape[:2] == (1, 2) and set(once.shapes.unique().tolist()) <= {0, 1}
    assert not torch.equal(once.shapes, once.places.on(grid)) and torch.equal(once.masks(grid), once.shapes)
    assert after(900).shapes is after(500).shapes is None
    often, seldom = after(700, 690, refine_every=0.005), after(700, 690, refine_every=0.05)
    assert seldom.refined_at == once.refined_at < often.refined_at
    assert torch.equal(seldom.shapes, once.shapes)


def test_the_latent_moves_as_far_as_the_passes_of_the_concepts_weigh(lab_backbone):
    """Without a reference the prompt's own pass is what the others are led to, so that without them nothing moves."""
    composition, latent = composed(lab_backbone), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    def move(weight):
        settings = replace(STILL, layout=1.0, most_move=1.0, of_branches=weight)
        return begun(lab_backbone, composition, settings).before(lab_backbone, latent, torch.full((1,), 900)) - latent

    none, once, twice = map(move, (0.0, 1.0, 2.0))
    assert float(none.norm()) == 0 < float(once.norm())
    torch.testing.assert_close(twice, 2 * once, rtol=1e-2, atol=1e-6)
