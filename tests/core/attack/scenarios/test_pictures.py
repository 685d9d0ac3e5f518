from dataclasses import replace

import torch

from concept_atelier.core.attack.scenarios.pictures import OVER


def test_pictures_that_get_less_noise_stay_nearer_to_their_sources(task, lab_backbone):
    shown = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    kept = lab_backbone.decode_latent(lab_backbone.encode_image(shown)).clamp(0, 1)  # as this model reads them
    far = {}
    for noise in (0.1, 1.0):
        given = task(pictures=shown, settings=replace(task().settings, steps=4, noise=noise))
        far[noise] = float((OVER.attempt(given).erased - kept).square().mean())
    assert far[0.1] < 0.5 * far[1.0]
