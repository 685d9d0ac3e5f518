"""Texts that are encoded up to the last position that is read, with the text encoders of ComfyUI."""

import pytest
import torch

FAMILIES = ("lab", "sd15", "sd2", "sdxl")
LONG = "a very (long:1.3) walk " * 20


def learnt(backbone):
    return {"<pet>": {name: torch.full((2, width), 0.02) for name, width in backbone.text_widths.items()}}


@pytest.mark.parametrize("length", [1, 3, 7, 77])
@pytest.mark.parametrize("family", FAMILIES)
def test_they_are_those_of_the_whole_encoding(parts_of, backbone_of, family, length):
    backbone = backbone_of(clip=parts_of(family)["clip"])
    texts, given = ["a (red:1.4) <pet>", "a photo of a cat in a park", ""], learnt(backbone)
    with torch.inference_mode():
        whole = backbone.encode_text(texts, given).context
        got = backbone.encode_beginnings(texts, length, given)
        again = backbone.encode_text(texts, given).context
    torch.testing.assert_close(got, whole[:, :length], atol=1e-5, rtol=1e-5)
    assert again.equal(whole)


def test_the_table_of_positions_stays_whole(parts_of, backbone_of):
    clip = parts_of("sdxl")["clip"]
    before = {name: tensor.clone() for name, tensor in clip.cond_stage_model.state_dict().items()}
    modules = dict(clip.cond_stage_model.named_modules())
    with torch.inference_mode():
        backbone_of(clip=clip).encode_beginnings(["a cat"], 3)
    assert all(clip.cond_stage_model.get_submodule(name) is module for name, module in modules.items())
    now = clip.cond_stage_model.state_dict()
    assert list(now) == list(before) and all(now[name].equal(tensor) for name, tensor in before.items())


def test_only_so_many_positions_are_computed(parts_of, backbone_of):
    clip, seen = parts_of("sdxl")["clip"], []
    for encoder in (clip.cond_stage_model.clip_l, clip.cond_stage_model.clip_g):
        layer = encoder.transformer.text_model.encoder.layers[0]
        layer.self_attn.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape[:2])))
    with torch.inference_mode():
        backbone_of(clip=clip).encode_beginnings(["a cat", "a dog"], 3)
    for encoder in (clip.cond_stage_model.clip_l, clip.cond_stage_model.clip_g):
        encoder.transformer.text_model.encoder.layers[0].self_attn._forward_pre_hooks.clear()
    assert seen == [(2, 3), (2, 3)]


def test_vectors_that_one_encoder_leaves_out_move_up_what_is_behind_them(parts_of, backbone_of, comfyui):
    """ComfyUI leaves out what is too wide for one of two encoders; the other encoder reads it."""
    import folder_paths
    from safetensors.torch import save_file

    clip = parts_of("sdxl")["clip"]
    width = backbone_of(clip=clip).text_widths["clip_l"]
    folder = folder_paths.get_folder_paths("embeddings")[0]
    save_file({"emb_params": torch.full((2, width), 0.02)}, f"{folder}/only_one.safetensors")
    backbone, texts = backbone_of(clip=clip), ["a cat", "embedding:only_one and a cat"]
    with torch.inference_mode():
        whole = backbone.encode_text(texts).context
        got = backbone.encode_beginnings(texts, 5)
    torch.testing.assert_close(got, whole[:, :5], atol=1e-5, rtol=1e-5)


def test_a_layer_that_clip_set_last_layer_chose(parts_of, backbone_of, stock):
    clip = stock("CLIPSetLastLayer", clip=parts_of("sd15")["clip"], stop_at_clip_layer=-2)[0]
    backbone = backbone_of(clip=clip)
    with torch.inference_mode():
        whole, got = backbone.encode_text(["a red cat"]).context, backbone.encode_beginnings(["a red cat"], 4)
    torch.testing.assert_close(got, whole[:, :4], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [80, 154])
def test_beginnings_reach_into_later_chunks(parts_of, backbone_of, length):
    backbone = backbone_of(clip=parts_of("sdxl")["clip"])
    with torch.inference_mode():
        whole, got = backbone.encode_text([LONG]).context, backbone.encode_beginnings([LONG], length)
    torch.testing.assert_close(got, whole[:, :length], atol=1e-5, rtol=1e-5)


def test_positions_that_a_text_does_not_have_are_refused(parts_of, backbone_of, pack):
    backbone = backbone_of(clip=parts_of("sd15")["clip"])
    with torch.inference_mode(), pytest.raises(pack("core.backbone").TextTooLongError, match="of a text that has 77"):
        backbone.encode_beginnings(["a cat"], 78)


def test_an_encoder_of_another_kind_is_read_whole(parts_of, backbone_of, monkeypatch, pack):
    """Such as one that is not causal."""
    monkeypatch.setattr(pack("host.comfy.text.beginnings"), "_is_causal", lambda clip, name: False)
    backbone = backbone_of(clip=parts_of("sd15")["clip"])
    with torch.inference_mode():
        assert backbone.encode_beginnings(["a cat"], 3).equal(backbone.encode_text(["a cat"]).context[:, :3])
