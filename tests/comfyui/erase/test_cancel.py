"""ComfyUI's cancel in the jobs of erasing: the user's models are as before, however far a job had come."""

import pytest
import torch

PICTURE = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(4))
TRAINING = {"method": "esd", "preset": "paper", "steps": 3, "preview_every": 0}
TRAINING |= {"settings": "side=64, sampling_steps=2, visits=1", "learning_rate": 0.1}
ATTACK = {"others": "dog", "only": "embedding, inversion, relearning"}
ATTACK |= {"settings": "draws=1, steps=2, side=64, shown=1, learn_steps=2, relearn_steps=2, relearn_rank=1"}
JOBS = {
    "TrainErasure": TRAINING,
    "AttackErasure": ATTACK,
    "PurifyPicture": {"image": PICTURE, "steps": 4, "settings": "present=-100, against=100, draws=1"},
    "InvertPicture": {"image": PICTURE, "prompt": "a cat", "steps": 4, "passes": 2},
}
"""Node to its inputs, besides the model and the concept."""


@pytest.mark.parametrize("node", JOBS)
def test_a_cancelled_job_leaves_the_models_as_they_were(parts_of, run, sample, node, monkeypatch):
    import comfy.model_management as management

    parts = parts_of("lab")
    erased = run("EraseConcepts", model=parts["model"], clip=parts["clip"], concepts="cat", damping=0.01)[0]
    given = {name: parts[name] for name in ("model", "clip", "vae")} | JOBS[node]
    if node == "AttackErasure":
        given |= {"erased_model": erased, "clip_vision": run("LoadLabClipVision")[0], "concept": "cat"}
    elif node != "InvertPicture":
        given |= {"concepts": "cat"}
    before = sample(parts, erased), sample(parts)  # the original last, so that its own weights are in place
    state = {name: weight.clone() for name, weight in parts["model"].model.state_dict().items()}
    checks, last = [], [None]

    def interrupt():
        checks.append(1)
        if len(checks) == last[0]:
            raise management.InterruptProcessingException

    with monkeypatch.context() as patched:
        patched.setattr(management, "throw_exception_if_processing_interrupted", interrupt)
        run(node, **given)
        whole = len(checks)
        assert whole >= 6
        for last[0] in (2, whole // 2, whole - 1):
            checks.clear()
            with pytest.raises(management.InterruptProcessingException):
                run(node, **given)
            assert len(checks) == last[0]
    assert torch.equal(sample(parts), before[1])
    assert all(torch.equal(weight, state[name]) for name, weight in parts["model"].model.state_dict().items())
    assert torch.equal(sample(parts, erased), before[0])
