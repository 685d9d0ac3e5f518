"""Scenes as batches: what was drawn is what comes out."""

from concurrent.futures import Future

import numpy as np
import pytest
import torch

from concept_atelier.lab.model.modules import load_tokenizer
from concept_atelier.lab.world.scene import SceneSettings, sample_scene
from concept_atelier.training.dataset import LatentScenes, SceneOrder, draw_ahead, draw_pictures, encode_pictures

SMALL = SceneSettings(size=(32, 32), counts=(1,))


class InTurn:
    """An executor that does so many tasks, in their order, when it is told to."""

    def __init__(self):
        self.waiting = []

    def submit(self, work, order):
        self.waiting.append((order, Future()))
        return self.waiting[-1][1]

    def draw(self, count):
        for order, future in self.waiting[:count]:
            future.set_result(draw_pictures(order))
        del self.waiting[:count]


def test_an_order_is_drawn_the_same_in_chunks():
    order = SceneOrder(SMALL, 5, 70, 2)
    chunks = order.chunks()
    assert [(chunk.first_seed, chunk.count) for chunk in chunks] == [(5, 64), (69, 6)]
    pictures, tokens = draw_pictures(chunks[1])
    assert pictures.shape == (6, 32, 32, 3) and tokens.shape == (6, 2, 77)
    scene = sample_scene("train", 70, SMALL)
    assert np.array_equal(pictures[1], scene.picture)
    said = load_tokenizer().decode(tokens[1, 0], skip_special_tokens=True)
    assert said.replace(" ", "") == scene.caption.replace(" ", "")


def test_a_batch_pairs_latents_with_their_own_captions():
    latents = torch.arange(5.0).half()[:, None, None, None].expand(5, 4, 2, 2)
    tokens = torch.arange(5).short()[:, None, None].expand(5, 3, 77)
    drawn, ids = LatentScenes(latents, tokens).sample(40)
    assert drawn.shape == (40, 4, 2, 2) and drawn.dtype == torch.float32 and ids.dtype == torch.int64
    assert torch.equal(drawn[:, 0, 0, 0].long(), ids[:, 0]) and len(set(ids[:, 0].tolist())) == 5


def test_streams_are_drawn_side_by_side_and_sampled_as_they_come(lab_modules):
    executor = InTurn()
    streams = draw_ahead([SceneOrder(SMALL, 100, 130, 1), SceneOrder(SMALL, 900, 64, 1)], "cpu", executor)
    assert [order.first_seed for order, _ in executor.waiting] == [100, 900, 164, 228]
    executor.draw(2)
    for stream in streams:
        latents, tokens = stream.encode_with(lab_modules.vae).sample(2)
        assert latents.shape == (2, 4, 4, 4) and tokens.shape == (2, 77) and stream.arrived == 64
    executor.draw(2)
    streams[0].sample(1)
    assert streams[0].arrived == 130 and not streams[0].pending
    pictures = np.stack([sample_scene("train", seed, SMALL).picture for seed in range(100, 230)])
    known = torch.cat([encode_pictures(lab_modules.vae, part) for part in np.split(pictures, (64, 128))])
    gaps = (known[:, None] - streams[0].latents[None]).abs().flatten(2).amax(2)
    assert gaps.amin(0).max() == gaps.amin(1).max() == 0  # in whatever order they came


def test_a_stream_without_an_autoencoder_says_so():
    stream = draw_ahead([SceneOrder(SMALL, 1, 2, 1)], "cpu", executor := InTurn())[0]
    executor.draw(1)
    with pytest.raises(RuntimeError, match="encode_with"):
        stream.sample(1)
