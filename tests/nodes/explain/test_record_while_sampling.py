"""What a sampler passes through, read as pictures are, over the lab models at random weights."""

import pytest
import torch

from concept_atelier.core.explain.activations import mismatch
from concept_atelier.core.explain.recording import record_denoiser
from concept_atelier.core.explain.sampled import Recording, SampledRun, read_recording
from concept_atelier.core.inversion import Trajectory, level_table
from concept_atelier.core.schedule import timestep_of_noise
from concept_atelier.host.adapters import backbone_of, encode_prompt
from concept_atelier.host.headless.sampling import sample
from concept_atelier.nodes import FindIngredients, ReadRecording, RecordActivations, RecordWhileSampling


def drawn(model, parts, seed=1):
    text = encode_prompt(parts["clip"], "cat", {})
    return sample(model, text, text, {"samples": torch.zeros(2, 4, 8, 8)}, seed=seed, steps=3, cfg=3.0)


@pytest.mark.parametrize("of", ["sockets", "transformer"])
def test_a_kept_latent_is_read_as_a_picture_with_that_noise_is(of, request):
    parts = request.getfixturevalue(of)
    backbone, share, seed = backbone_of(**parts), 0.3, 5
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    wanted = record_denoiser(backbone, pictures, noise=share, seed=seed)
    clean = backbone.encode_image(pictures)
    noise = torch.cat([torch.randn(clean[:1].shape, generator=torch.Generator().manual_seed(seed + n)) for n in (0, 1)])
    step = timestep_of_noise(backbone.schedule, share)[0]
    level = level_table(backbone.schedule)[step]
    held = Trajectory(backbone, backbone.encode_text([""])).noised(clean, noise, level)
    recording = Recording((share,))
    recording.runs.append(SampledRun({share: level}, {share: held}, samples=clean))
    found, _ = read_recording(backbone, recording, share, clean)
    torch.testing.assert_close(found.rows, wanted.rows, rtol=1e-3, atol=1e-3)
    assert found.grid == wanted.grid and mismatch(wanted.origin, found.origin) == ""


def test_sampling_is_bit_identical_and_its_states_become_activations(call, sockets, hooks_of):
    before = hooks_of()
    model, recording = call(RecordWhileSampling, model=sockets["model"], noise="0.1, 0.8")
    latent, plain = drawn(model, sockets), drawn(sockets["model"], sockets)
    assert torch.equal(latent["samples"], plain["samples"]) and hooks_of() == before
    parts = {"model": sockets["model"], "clip": sockets["clip"]}
    late, early = (
        call(ReadRecording, recording=recording, samples=latent, **parts, noise=noise)[0] for noise in (0.1, 0.8)
    )
    assert late.rows.shape == early.rows.shape == (2, 16, 128) and not torch.equal(late.rows, early.rows)
    assert late.origin.noise == 0.1 and early.origin.noise == 0.8
    pictures = torch.rand(3, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    joined = call(RecordActivations, pictures=pictures, **sockets)[0].joined(late)  # of one origin
    assert len(call(FindIngredients, activations=joined, count=2, method="kmeans", fits=1)[0]) == 2


def test_of_two_samplers_the_run_is_read_that_gave_the_latent(call, sockets):
    model, recording = call(RecordWhileSampling, model=sockets["model"])
    first, second = drawn(model, sockets), drawn(model, sockets, seed=2)
    parts = {"model": sockets["model"], "clip": sockets["clip"]}
    one, other = (call(ReadRecording, recording=recording, samples=of, **parts)[0].rows for of in (first, second))
    assert not torch.equal(one, other)
    model, alone = call(RecordWhileSampling, model=sockets["model"])
    assert torch.equal(call(ReadRecording, recording=alone, samples=drawn(model, sockets), **parts)[0].rows, one)


def test_what_cannot_be_read_is_refused(call, sockets):
    model, recording = call(RecordWhileSampling, model=sockets["model"])
    parts = {"model": sockets["model"], "clip": sockets["clip"], "samples": {"samples": torch.zeros(2, 4, 8, 8)}}
    with pytest.raises(ValueError, match="no sampler has run"):
        call(ReadRecording, recording=recording, **parts)
    drawn(model, sockets)
    with pytest.raises(ValueError, match="noise 0.5 was not recorded, only 0.1"):
        call(ReadRecording, recording=recording, **parts, noise=0.5)
    with pytest.raises(ValueError, match="no layer fits the site 'nowhere'"):
        call(ReadRecording, recording=recording, **parts, site="nowhere")
    with pytest.raises(ValueError, match="numbers of 0 to 1, such as 0.1, 0.5; got 'much'"):
        call(RecordWhileSampling, model=sockets["model"], noise="much")
