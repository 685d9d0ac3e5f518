from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.methods.disendiff import METHOD, DisenDiffSettings, attention_loss
from concept_atelier.core.types import Concepts

PLAIN = DisenDiffSettings(blur=False)


def square(left, value=1.0):
    mask = torch.zeros(6, 8)
    mask[2:4, left : left + 2] = value
    return mask


def test_attention_loss_of_known_maps():
    """Two tokens: one looks where its class word looks, one somewhere else; the class words share nothing."""
    maps = torch.stack([square(0), square(2), square(0), square(6)])
    bind, apart = 0 + (1 - 1 / 9), 1 / 9
    assert float(attention_loss(maps, PLAIN)) == pytest.approx(bind + apart, abs=1e-6)
    settings = replace(PLAIN, bind_weight=2.0, apart_weight=3.0)
    assert float(attention_loss(maps, settings)) == pytest.approx(2 * bind + 3 * apart, abs=1e-6)
    assert float(attention_loss(5 * maps, PLAIN)) == pytest.approx(
        bind + apart, abs=1e-6
    )  # stretched: scale is nothing


def test_all_pairs_of_three_are_averaged():
    maps = torch.stack([square(left) for left in (0, 2, 4, 0, 0, 4)])
    settings = replace(PLAIN, bind_weight=0.0)
    assert float(attention_loss(maps, settings)) == pytest.approx((1 + 1 / 9 + 1 / 9) / 3, abs=1e-6)


def test_one_concept_has_no_pair():
    maps = torch.stack([square(0), square(0)])
    assert float(attention_loss(maps, PLAIN)) == pytest.approx(0, abs=1e-6)


def test_squares_keep_the_peaks_of_class_words():
    half = square(0) + square(4, 0.5)
    maps = torch.stack([square(0), half])
    losses = [float(attention_loss(maps, replace(PLAIN, suppression=times))) for times in (0, 1, 2)]
    expected = [1 - 5 / (1 + 4 + 6 - 4), 1 - 5 / (1 + 4 + 5 - 4), 1 - 5 / (1 + 4 + 4.25 - 4)]
    assert losses == pytest.approx(expected, abs=1e-6)


def test_binding_moves_the_token_and_not_the_class_word(generator):
    maps = torch.rand(2, 6, 8, generator=generator).requires_grad_()
    (slope,) = torch.autograd.grad(attention_loss(maps, replace(PLAIN, apart_weight=0.0)), maps)
    assert slope[0].abs().sum() > 0 and not slope[1].any()


def test_class_words_are_needed_and_must_differ(lab_backbone, picture, concepts):
    with pytest.raises(ValueError, match="crab has none"):
        METHOD.learn(lab_backbone, picture, concepts, PLAIN, classes={"apple": "cat"})
    with pytest.raises(ValueError, match="two concepts are of the class cat"):
        METHOD.learn(lab_backbone, picture, concepts, PLAIN, classes={"apple": "cat", "crab": " Cat"})


def test_three_concepts_and_class_words_of_several_tokens(lab_backbone, picture):
    masks = torch.zeros(3, 8, 12, dtype=torch.bool)
    masks[0, :3], masks[1, 3:5], masks[2, 5:] = True, True, True
    three = Concepts(masks, masks / masks.sum((1, 2), keepdim=True), ("a", "b", "c"), torch.ones(3), (64, 96))
    settings = DisenDiffSettings(steps=1, rank=1, downscale=2, attention_weight=1.0)
    classes = {"a": "cat face", "b": "xylophonist", "c": "dog"}
    tokens = METHOD.learn(lab_backbone, picture, three, settings, classes=classes)
    assert len(tokens.names) == 3 and torch.isfinite(tokens.losses).all()


def test_the_masks_play_no_part(lab_backbone, picture, concepts):
    settings = DisenDiffSettings(steps=1, rank=1, downscale=2)
    classes = {"apple": "cat", "crab": "dog"}
    moved = replace(concepts, masks=concepts.masks.roll(2, 2))
    one, other = (METHOD.learn(lab_backbone, picture, given, settings, classes=classes) for given in (concepts, moved))
    assert one.losses.equal(other.losses)


def test_the_papers_values():
    paper = METHOD.preset("paper")
    assert (paper.steps, paper.rate, paper.adapter_rate, paper.attention_weight) == (250, 8e-5, 8e-5, 0.01)
    assert (paper.parts, paper.prior, paper.suppression, paper.blur) == (4, 200, 1, True)
    with pytest.raises(ValueError, match="suppression"):
        DisenDiffSettings(suppression=-1)
