"""Capture Attention inside ComfyUI, as far as it can be said without ComfyUI; in it: ``tests/comfyui/attribute``."""

import torch

from concept_atelier.core.attention.selection import Selection
from concept_atelier.host.comfy.attention.capture import _RunListener
from concept_atelier.host.shared.captures import AttentionCapture


def test_steps_that_several_gpus_share_are_not_recorded_and_it_is_reported():
    """Their calls overlap in threads, so that one would be taken for another."""
    capture = AttentionCapture(Selection())
    listener = _RunListener(None, capture, {}, {})
    latent = torch.randn(1, 4, 2, 2)
    listener.around_step(lambda x: x, latent)
    options = {"cond_or_uncond": [0], "uuids": ["a"], "multigpu_thread_device": torch.device("cpu")}
    given = listener.around_model(lambda x, t, **kwargs: x, latent, torch.ones(1), transformer_options=options)
    assert given is latent and listener.groups == ()
    capture.add(listener.finished(latent))
    assert capture.run_of(latent)[1] == "Not all of it was recorded: several GPUs compute one step at the same time."
