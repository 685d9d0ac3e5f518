"""Few-shot unlearning: its loss is that of its equation, which weights it trains, and which snapshot it takes."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import mse_loss

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.erase.methods.few_shot import METHOD, Ascent, FewShotSettings
from concept_atelier.core.erase.parts.pictures import TaskPictures
from concept_atelier.core.erase.parts.task import EraseTask
from concept_atelier.core.erase.parts.text_bank import last_read_layers, read_of, start_text_bank
from concept_atelier.core.types import LowRank

QUICK = FewShotSettings(
    templates=("a {}",), steps=2, batch=1, side=64, sampling_steps=2, drawn=1, guidance=1.0, rate=1e-3
)


@pytest.fixture
def ascent_of(lab_backbone, generator):
    def go(*pairs, settings=QUICK):
        latents = torch.randn(len(pairs), 4, 8, 8, generator=generator)
        task = EraseTask(lab_backbone, pairs, (), replace(settings, batch=len(pairs)))
        return Ascent(task, TaskPictures(latents, tuple(range(len(pairs)))), torch.Generator().manual_seed(5))

    return go


def bank_of(backbone):
    return start_text_bank(backbone, lambda weight: "mlp" in weight.name)


def expected(backbone, ascent, text, target_text=None):
    """The error at what the ascent draws, by hand."""
    generator = torch.Generator().manual_seed(5)
    torch.randperm(1, generator=generator)
    clean = ascent.pictures.latents
    noise = torch.randn(clean.shape, generator=generator)
    time = torch.randint(backbone.schedule.steps, (1,), generator=generator)
    latent = backbone.schedule.add_noise(clean, noise, time)
    with torch.no_grad():
        found = backbone.predict_target(latent, time, backbone.encode_text([text]))
        if target_text is None:
            return mse_loss(found, noise)
        return mse_loss(found, backbone.predict_target(latent, time, backbone.encode_text([target_text])))


def test_without_an_anchor_the_loss_of_denoising_is_ascended(lab_backbone, ascent_of):
    ascent, bank = ascent_of(("cat", "")), bank_of(lab_backbone)
    loss = ascent.loss(bank)
    torch.testing.assert_close(loss.detach(), -expected(lab_backbone, ascent, "a cat"))
    gradients = torch.autograd.grad(loss, bank.parameters())
    before = ascent._errors(ascent._texts(anchors=False))
    with torch.no_grad():
        for leaf, gradient in zip(bank.parameters(), gradients, strict=True):
            leaf -= 0.05 * gradient / max(float(gradient.norm()), 1e-12)
        with lab_backbone.text_changed(bank.changes()):
            assert ascent._errors(ascent._texts(anchors=False)) > before


def test_with_an_anchor_its_prediction_is_the_target(lab_backbone, ascent_of):
    ascent = ascent_of(("cat", "dog"))
    torch.testing.assert_close(
        ascent.loss(bank_of(lab_backbone)).detach(), expected(lab_backbone, ascent, "a cat", "a dog")
    )


def test_a_concept_that_is_its_anchor_leaves_nothing_to_learn(lab_backbone, ascent_of):
    bank = bank_of(lab_backbone)
    loss = ascent_of(("cat", "cat")).loss(bank)
    assert float(loss.detach()) == 0
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, bank.parameters()))


def test_concepts_with_an_anchor_and_without_share_a_step(lab_backbone, ascent_of):
    """With the signs of both: the mean of the two losses, where no picture is like another."""
    ascent = ascent_of(("cat", ""), ("rocket", "rocket"))
    assert float(ascent.loss(bank_of(lab_backbone)).detach()) < 0


def test_all_is_left_at_first_and_none_where_the_text_says_what_the_anchors_does(lab_backbone, ascent_of):
    ascent = ascent_of(("cat", "dog"))
    assert ascent.left(bank_of(lab_backbone)).tolist() == pytest.approx([1.0], abs=1e-3)

    class AsAnchor:
        def changes(self):
            return {}

    ascent._texts = lambda anchors: ["a dog"] * 4
    assert ascent.left(AsAnchor()).tolist() == pytest.approx([0.0], abs=1e-3)


def test_a_concept_of_which_enough_is_gone_is_trained_no_further_until_it_comes_back(lab_backbone, ascent_of):
    """Of three concepts, by what is left of each: the greatest chooses the snapshot, and pictures of those with more
    than enough left are visited."""
    ascent = ascent_of(("cat", ""), ("rocket", ""), ("crab", ""), settings=replace(QUICK, enough=-1.0))
    bank, visited = bank_of(lab_backbone), []
    really = ascent._noised.visit

    def watched(*given):
        visit = really(*given)
        visited.append(set(visit.concepts.tolist()))
        return visit

    ascent._noised.visit = watched
    for left, wanted in (([0.5, -3.0, 0.1], {0, 2}), ([-2.0, -0.5, -1.0], {1}), ([-2.0, -3.0, -1.5], {1})):
        ascent.left = lambda bank, left=left: torch.tensor(left)
        assert ascent.measure(bank) == max(left)
        ascent.loss(bank)
        assert visited[-1] == wanted


def test_the_share_that_is_left_is_each_concepts_own(lab_backbone, ascent_of):
    """A text encoder that reads one of two concepts as its anchor, and the other as before."""
    ascent = ascent_of(("cat", "dog"), ("rocket", "dog"))
    texts = ascent._texts(anchors=False)
    ascent._texts = lambda anchors: [text.replace("cat", "dog") for text in texts]

    class Unchanged:
        def changes(self):
            return {}

    assert ascent.left(Unchanged()).tolist() == pytest.approx([0.0, 1.0], abs=1e-3)


@pytest.mark.parametrize("said", [0.5, -0.5])
def test_less_is_left_the_worse_a_text_fits_its_pictures_also_where_it_fitted_less_than_its_anchor(
    lab_backbone, ascent_of, said
):
    ascent = ascent_of(("cat", "dog"))
    ascent._anchored = ascent._erased + said
    left = []
    for worse in (0.0, 0.25, 1.0):
        ascent._errors = lambda texts, worse=worse: ascent._erased + worse
        left.append(float(ascent.left(bank_of(lab_backbone))))
    assert left == pytest.approx([1.0, 0.5, -1.0])
    assert bool(ascent.unsaid()) == (said < 0) and all("that of dog does" in line for line in ascent.unsaid())


def test_a_pooled_text_counts_only_where_the_denoiser_reads_it(lab_backbone):
    class Pooling:
        """The lab model, whose texts have a pooled one beside them."""

        reads_pooled = False

        def __getattr__(self, name):
            return getattr(lab_backbone, name)

    backbone = Pooling()
    encoded = Conditioning(torch.zeros(1, 3, 4), {"pooled_output": torch.ones(1, 4)})
    assert [tensor.ndim for tensor in read_of(backbone, encoded)] == [3]
    backbone.reads_pooled = True
    assert [tensor.ndim for tensor in read_of(backbone, encoded)] == [3, 2]


@pytest.mark.parametrize(
    ("weights", "count"), [("mlp", 12), ("attention", 24), ("mlp_and_last_attention", 20), ("all", 36)]
)
def test_which_weights_are_changed(lab_backbone, weights, count):
    """Three layers of two feed-forward weights and four projections, each with a bias."""
    text = METHOD.erase(lab_backbone, ["cat"], settings=replace(QUICK, weights=weights)).text["clip_l"]
    assert len(text) == count
    if weights == "mlp_and_last_attention":
        assert all("layers.2." in name for name in text if "self_attn" in name)


def test_a_low_rank_changes_no_bias(lab_backbone):
    text = METHOD.erase(lab_backbone, ["cat"], settings=replace(QUICK, rank=2)).text["clip_l"]
    assert all(isinstance(change, LowRank) and change.up.shape[1] == 2 for change in text.values())
    assert all(name.endswith(".weight") for name in text)


def test_of_two_text_encoders_what_the_denoiser_reads_is_changed(two_towers):
    """The states before the last layer; of the second encoder the pooled text too, which comes from the last."""
    assert last_read_layers(two_towers) == {"clip_l": 0, "clip_g": 1}


def test_preserved_texts_stay_nearer_with_the_term(lab_backbone):
    settings = replace(QUICK, steps=6, rate=5e-3)

    def moved(retain):
        changes = METHOD.erase(lab_backbone, ["cat"], "", ["crab"], replace(settings, retain=retain)).text
        with torch.no_grad(), lab_backbone.text_changed(changes):
            now = lab_backbone.encode_text(["a crab", ""]).context
        return float((now - lab_backbone.encode_text(["a crab", ""]).context).norm())

    assert moved(100.0) < 0.7 * moved(0.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps must be 1 or more"),
        ({"weights": "some"}, "weights must be one of mlp, attention"),
        ({"rank": -1}, "rank must be 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        FewShotSettings(**wrong)
