from dataclasses import replace

import torch

from concept_atelier.core.localize.parts.observation import Observation
from concept_atelier.core.localize.parts.pipeline import localize_observed
from concept_atelier.core.localize.parts.settings import SMALL_GRID


def test_noisy_attention_gives_whole_things_where_neighbours_of_like_colour_are_evened_out(labels_of, attention_of):
    """Two boxes of other colours that touch, under noise three times as strong as what they attend to."""
    labels = labels_of((12, 16), [(2, 2, 6, 6), (2, 8, 6, 6)])
    colours = torch.eye(3)[labels.flatten()]
    seen = Observation(attention_of(labels, leak=3.0), (labels > 0) + 0.1, colours, (12, 16), (96, 128))

    def found(reach, contrast=0.2):
        settings = replace(SMALL_GRID, neighbour_reach=reach, neighbour_contrast=contrast)
        return localize_observed(seen, settings).masks

    def exact(masks):
        return sum(torch.equal(mask, labels == label) for label in (1, 2) for mask in masks)

    evened = found(1.5)
    assert len(evened) == exact(evened) == 2
    assert exact(found(0.0)) == 0
    assert exact(found(1.5, contrast=10.0)) == 0  # without regard to colour the edges are lost
