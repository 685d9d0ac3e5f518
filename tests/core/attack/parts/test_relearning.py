from dataclasses import replace

import torch

from concept_atelier.core.attack.parts.relearning import relearn


def test_training_changes_what_is_drawn_of_the_name(task):
    given = task(settings=replace(task().settings, relearn_rate=1e-2, relearn_rank=4))
    learnt, (first, *_, last) = relearn(given), given.detector.seen
    assert torch.equal(first, given.named()) and torch.equal(last, learnt.drawn)
    assert float((last - first).abs().mean()) > 1e-3
