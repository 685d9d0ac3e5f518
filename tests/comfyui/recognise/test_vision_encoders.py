"""Picture encoders beside CLIP's as ComfyUI builds them, tiny and at random weights: SigLIP, SigLIP 2 and DINOv2 are
read whole and by position, and teach a subject and a head. A pair of one width that is none is refused."""

import pytest
import torch

SMALL = {
    "num_channels": 3,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "hidden_act": "gelu_pytorch_tanh"}
DINO = {"layer_norm_eps": 1e-6, "use_swiglu_ffn": False, "mlp_ratio": 4, "hidden_act": "gelu"}
ENCODERS = {
    "siglip": SMALL | HALF | {"model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14},
    "siglip2": SMALL
    | HALF
    | {"model_type": "siglip2_vision_model", "image_size": -1, "patch_size": 16, "num_patches": 16},
    "dinov2": SMALL | DINO | {"model_type": "dinov2", "image_size": 518, "patch_size": 14},  # 0.19 knows no other size
}


@pytest.fixture(scope="module", params=ENCODERS)
def vision(request, vision_of):
    return vision_of(ENCODERS[request.param])


def test_every_patch_and_the_whole_are_read(pack, run, vision, pictures):
    recorded = run("RecordActivations", pictures=pictures, clip_vision=vision)[0]
    rows, columns = recorded.grid
    assert recorded.rows.shape == (4, rows * columns, 32) and min(rows, columns) >= 2
    with torch.inference_mode():
        output = vision.encode_image(pictures, crop=False)
        states = output["penultimate_hidden_states"]
        features = pack("host.jobs.vision").picture_features(vision, pictures.movedim(-1, 1))
    assert torch.allclose(recorded.rows, states[:, -rows * columns :].float().cpu(), atol=1e-5)
    assert states.shape[1] - rows * columns in (0, 1)  # at most a class token before them
    assert features.shape == (4, 32) and torch.allclose(features.norm(dim=1), torch.ones(4))


def test_a_subject_and_a_head_are_learnt(run, vision, pictures):
    masks = torch.zeros(4, *pictures.shape[1:3])
    masks[:, :, : masks.shape[2] // 2] = 1
    given = {"pictures": pictures, "examples": pictures[:2], "masks": masks[:2], "clip_vision": vision}
    assert run("FindMySubject", **given, threshold=0.05, crop_size=32)[0].shape == masks.shape
    labelled = {"pictures": torch.cat([pictures, pictures]), "labels": "\n".join("aabbaabb"), "permutations": 0}
    head = run("TrainConceptHead", **labelled, clip_vision=vision, features="raw numbers")[0]
    assert run("ScoreByConceptHead", head=head, pictures=pictures, clip_vision=vision)[0].values.shape == (4, 2)


def test_an_unmatched_pair_of_one_width_is_refused_and_may_be_vouched_for(pack, run, parts_of, vision_of, pictures):
    """Random weights agree on no colours."""
    clip = parts_of("sd2")["clip"]
    stock = vision_of(SMALL | {"model_type": "clip_vision_model", "image_size": 56, "patch_size": 14,
                               "projection_dim": 64, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5})  # fmt: skip
    given = {"pictures": pictures, "clip": clip, "classes": "red\nblue"}
    with pytest.raises(Exception, match="do not agree on plain colours"):
        run("ScoreByConcepts", **given, clip_vision=stock)
    trusted, said = run("PairEncoders", clip_vision=stock, clip=clip)
    assert "do not agree on 8 plain colours" in said
    assert run("ScoreByConcepts", **given, clip_vision=trusted)[0].values.shape == (4, 2)
