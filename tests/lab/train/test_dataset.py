"""Scenes as batches: what was drawn is what comes out, and the oldest give way."""

from concurrent.futures import Future

import numpy as np
import torch

from concept_atelier.lab.model.modules import load_tokenizer
from concept_atelier.lab.train.dataset import LatentScenes, SceneOrder, SceneStream, draw_pictures, encode_pictures
from concept_atelier.lab.train.machine import Machine
from concept_atelier.lab.world.scene import SceneSettings, sample_scene

SMALL = SceneSettings(size=(32, 32), counts=(1,))


class AtOnce:
    """An executor that does everything when it is asked."""

    def __init__(self):
        self.seeds = []

    def submit(self, work, order):
        self.seeds.append(order.first_seed)
        future = Future()
        future.set_result(work(order))
        return future


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


def test_a_stream_goes_on_drawing_and_keeps_the_newest(lab_modules):
    executor, order = AtOnce(), SceneOrder(SMALL, 100, 3, 1)
    stream = SceneStream(lab_modules.vae, order, Machine("cpu", 1), executor)
    for _ in range(3):
        latents, tokens = stream.sample(2)
    assert latents.shape == (2, 4, 4, 4) and tokens.shape == (2, 77)
    assert executor.seeds == sorted(set(executor.seeds)) and stream.drawn >= 9
    newest = {seed for first in executor.seeds for seed in range(first, first + 3)}
    pictures = np.stack([sample_scene("train", seed, SMALL).picture for seed in sorted(newest)])
    known = encode_pictures(lab_modules.vae, pictures)
    gaps = (known[:, None] - stream.latents[None]).abs().flatten(2).amax(2)
    assert gaps.amin(0).max() < 1e-2  # every kept latent is that of a scene that was drawn
