from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.engine.trainee import Denoised
from concept_atelier.core.learn.methods.break_a_scene import METHOD, BreakASceneSettings, instance_loss
from concept_atelier.core.learn.parts.examples import Example
from concept_atelier.core.learn.parts.tokens import TokenBank

QUICK = BreakASceneSettings(steps=4, rate=1e-2, adapter_rate=1e-2, rank=2, downscale=2, attention_weight=0.5)


class Predicting:
    """A trainee whose pass gives what the test says, and remembers what was asked."""

    bank, grid = TokenBank(("apple", "crab"), {}), (2, 3)

    def __init__(self, predicted, maps):
        self.predicted, self.maps, self.asked = predicted, maps, []

    def token(self, text, name):
        return (text.index(name),)

    def denoise(self, latents, texts, spots):
        self.asked.append((texts, list(spots)))
        return Denoised(torch.zeros_like(latents), self.predicted, self.maps)


@pytest.fixture
def example():
    masks = torch.zeros(2, 4, 6)
    masks[0, :2], masks[1, 2:, 3:] = 1, 1
    return Example(torch.zeros(1, 4, 4, 6), masks, masks)


def test_the_loss_is_that_of_the_equations(example):
    maps = torch.tensor([[[0.2, 0.2, 0.2], [0.0, 0.0, 0.0]], [[0.1, 0.0, 0.0], [0.0, 0.0, 0.4]]])
    trainee = Predicting(torch.full((1, 4, 4, 6), 2.0), maps)
    loss = instance_loss(trainee, example, (0, 1), QUICK)
    # Inside the union: 12 + 6 of 24 cells, each 4. The first map is its mask; the second has 1/4 too much in one cell
    # and its mask covers half of the middle cell below (1.5 of 3 columns).
    masks = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.5, 1.0]])
    strayed = (maps[1] / 0.4 - masks).square().mean()
    assert float(loss) == pytest.approx(4 * 18 / 24 + 0.5 * float(strayed))
    assert trainee.asked == [(["a photo of <apple> and <crab>"], [(0, (12,)), (0, (24,))])]


def test_only_the_chosen_concepts_count(example):
    trainee = Predicting(torch.full((1, 4, 4, 6), 2.0), torch.zeros(0, 2, 3))
    loss = instance_loss(trainee, example, (1,), replace(QUICK, attention_weight=0.0))
    assert float(loss) == pytest.approx(4 * 6 / 24) and trainee.asked == [(["a photo of <crab>"], [])]


def test_the_first_phase_leaves_the_model_alone_and_the_second_does_not(lab_backbone, picture, concepts):
    seen = []
    settings = replace(QUICK, token_share=0.5)
    tokens = METHOD.learn(lab_backbone, picture, concepts, settings, on_step=lambda *report: seen.append(report))
    changed = [any(bool(f.up.any()) for f in report[3].adapter.values()) for report in seen]
    assert changed == [False, False, True, True] and [report[:2] for report in seen] == [(i, 4) for i in (1, 2, 3, 4)]
    assert tokens.metadata["updates"] == "4"
    drift = [
        float((one[3].vectors["apple"]["clip_l"] - other[3].vectors["apple"]["clip_l"]).abs().max())
        for one, other in zip(seen, seen[1:], strict=False)
    ]
    assert max(drift) > 0


def test_prior_pictures_cost_nothing_in_the_first_phase(lab_backbone, picture, concepts):
    costs = {}
    for prior in (0, 2):
        settings = replace(QUICK, prior=prior, prior_steps=1, token_share=0.5)
        costs[prior] = int(METHOD.learn(lab_backbone, picture, concepts, settings).metadata["passes"])
    assert costs == {0: 4, 2: 4 + 2 * 2 + 2}  # drawn with guidance: two rows each; then one more in two steps


def test_the_background_can_be_a_concept(lab_backbone, picture, concepts):
    settings = replace(QUICK, steps=2, background=True)
    tokens = METHOD.learn(lab_backbone, picture, concepts, settings, words={"background": "photo"})
    assert tokens.names == ("apple", "crab", "background")
    full = replace(concepts, masks=concepts.masks | torch.tensor([True, False])[:, None, None])
    with pytest.raises(ValueError, match="cover the whole picture"):
        METHOD.learn(lab_backbone, picture, full, settings)


@pytest.mark.parametrize("wrong", [{"token_share": 1.5}, {"rank": 0}], ids=str)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match="token_share"):
        BreakASceneSettings(**wrong)


def test_the_papers_values():
    paper = METHOD.preset("paper")
    assert (paper.steps, paper.token_share, paper.rate, paper.attention_weight) == (800, 0.5, 5e-4, 0.01)
    assert (paper.prior, paper.prior_weight, paper.layers) == (100, 1.0, "all")


def test_the_mirrored_picture_is_another(lab_backbone, picture, concepts):
    one, other = (
        METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, steps=1, flip=flip)) for flip in (0.0, 1.0)
    )
    assert not one.losses.equal(other.losses)
