from dataclasses import replace

import torch

from concept_atelier.core.attack.parts.embedding import TOKEN, learn_embedding


def test_a_token_moves_from_where_it_begins_as_fast_as_the_settings_say(task, lab_backbone):
    shown = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def learnt(rate):
        given = task(pictures=shown, settings=replace(task().settings, learn_rate=rate))
        return learn_embedding(given, lab_backbone)[f"<{TOKEN}>"]["clip_l"]

    still = learnt(1e-9)
    assert float((learnt(1e-2) - still).abs().mean()) > 1e-3 > 10 * float((learnt(2e-9) - still).abs().max())
