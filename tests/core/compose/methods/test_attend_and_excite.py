"""Attend-and-Excite: how often the latent moves."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.methods import attend_and_excite
from concept_atelier.core.compose.methods.attend_and_excite import METHOD, _refined


def test_refinement_ends_for_each_picture_at_its_own_time():
    """The loss is half the square of the latent's only number, so that each move takes away a tenth of it."""
    latent = torch.tensor([1.0, 2.0, 0.1]).view(3, 1, 1, 1)

    def losses(moved):
        return moved.square().flatten(1).sum(1) / 2

    refined = _refined(latent, losses, 0.1, 0.5 * 0.6**2, 100).flatten()
    torch.testing.assert_close(refined, torch.tensor([0.9**5, 2 * 0.9**12, 0.1]))  # the first powers below 0.6
    torch.testing.assert_close(_refined(latent, losses, 0.1, 0.0, 7), latent * 0.9**7)


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        (0.04, (4, 1, 4, 1, 4)),
        (0.06, (1, 1, 4, 1, 4)),
        (0.49, (1, 1, 4, 1, 4)),
        (0.51, (1, 1, 1, 1, 4)),
        (0.79, (1, 1, 1, 1, 4)),
        (0.81, (1, 1, 1, 1, 1)),
    ],
)
def test_more_moves_are_made_until_subjects_are_attended_by_the_papers_thresholds(
    lab_backbone, monkeypatch, attention, expected
):
    """At 0, 0.2 and 0.4 of denoising by 0.05, 0.5 and 0.8 (section 3.2): one move a step, and up
    to three more."""

    def gradient_of(latent, losses):
        return torch.ones_like(latent), torch.full((len(latent),), 1 - attention)

    monkeypatch.setattr(attend_and_excite, "gradient_of", gradient_of)
    composition = compose(lab_backbone, "a cat and a rocket", [Concept("a cat"), Concept("a rocket")], texts=False)
    settings = replace(METHOD.preset("paper"), refinements=3, scale=1.0)
    run, latent, counts = METHOD.begin(composition, settings, share_of(1000)), torch.zeros(1, 4, 8, 8), []
    for done in (0.0, 0.1, 0.2, 0.3, 0.4):
        time = torch.tensor([int((1 - done) * 999)])
        rate = (1 - (1 - float(time) / 999) / 2) ** 0.5
        moved = run.before(lab_backbone, latent, time)
        counts.append(round(float((latent - moved).mean()) / rate))
    assert tuple(counts) == expected
