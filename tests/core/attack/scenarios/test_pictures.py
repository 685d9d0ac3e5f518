from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attack.registry import SCENARIOS
from concept_atelier.core.attack.scenarios.pictures import OVER


def test_pictures_that_get_less_noise_stay_nearer_to_their_sources(task, lab_backbone):
    shown = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    kept = lab_backbone.decode_latent(lab_backbone.encode_image(shown)).clamp(0, 1)  # as this model reads them
    far = {}
    for noise in (0.1, 1.0):
        given = task(pictures=shown, settings=replace(task().settings, steps=4, noise=noise))
        far[noise] = float((OVER.attempt(given).erased - kept).square().mean())
    assert far[0.1] < 0.5 * far[1.0]


@pytest.mark.parametrize("name", ["img2img", "inpainting", "noise", "inversion"])
def test_pictures_are_the_same_however_many_are_drawn_at_once(task, name):
    shown = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    drawn = {}
    for batch in (1, 8):
        settings = replace(task().settings, steps=2, draws=3, batch=batch, inversion_passes=2)
        drawn[batch] = SCENARIOS[name].attempt(task(pictures=shown, settings=settings)).erased
    assert len(drawn[1]) == 3
    torch.testing.assert_close(drawn[1], drawn[8], rtol=0, atol=1e-3)
