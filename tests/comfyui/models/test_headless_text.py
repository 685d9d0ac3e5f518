"""Prompts encoded headless, by modules of transformers, are those of ComfyUI's own encoders with the same weights."""

import pytest
import torch

LONG = ", ".join(f"a very small (red:1.2) thing number {n} beside the other ones" for n in range(24))
PROMPTS = {
    "one chunk": "a photo of a cat",
    "75 tokens": "cat " * 75,
    "76 tokens": "cat " * 76,
    "two chunks": "a long walk over the hills and down again " * 9,
    "five chunks with weights": LONG,
    "a weighted part over the cut": "cat " * 70
    + "(a red bicycle with a yellow bell and no lamp at all:1.4) in a garden",
    "a short part before the cut": "cat " * 72 + "(very big dog in snow:0.6) runs",
}


def module_of(theirs, width, projects):
    """A tower of ComfyUI's as a module of transformers'."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width, num_attention_heads=4, intermediate_size=4 * width, num_hidden_layers=3, vocab_size=49408,
        hidden_act="quick_gelu", projection_dim=width, bos_token_id=49406, eos_token_id=49407,
    )  # fmt: skip
    ours = (CLIPTextModelWithProjection if projects else CLIPTextModel)(config).eval()
    given = {key.removeprefix("text_model."): tensor.clone() for key, tensor in theirs.state_dict().items()}
    state = {key: given[key.removeprefix("text_model.")] for key in ours.state_dict() if "position_ids" not in key}
    assert not ours.load_state_dict(state, strict=False).unexpected_keys
    return ours


@pytest.fixture
def headless(pack, parts, family):
    """The text encoders of ``parts`` as the headless runner holds them."""
    from transformers import CLIPTokenizer

    handles, clip = pack("host.shared.handles"), parts["clip"]
    encoders = {}
    for name in pack("host.adapters").backbone_of(clip=clip).text_widths:
        tower, letter = getattr(clip.cond_stage_model, name), name[-1]
        width = tower.transformer.get_input_embeddings().weight.shape[1]
        reads = getattr(clip.tokenizer, name).tokenizer
        more = {"model_max_length": 77} | ({} if letter == "l" else {"pad_token": "!"})
        tokenizer = CLIPTokenizer.from_pretrained(reads.name_or_path, **more)
        module = module_of(tower.transformer, width, letter != "l")
        options = {"layer": -2, "normalise": False} if family == "sdxl" else {}
        encoders[name] = handles.TextEncoder(tokenizer, module, **options)
    return pack("host.headless.backbone").DiffusersBackbone(clip=handles.ClipHandle(encoders, family))


@pytest.mark.parametrize("family", ["sd15", "sdxl"], indirect=True)
@pytest.mark.parametrize("kind", PROMPTS)
def test_long_prompts_are_cut_and_read_as_comfyui_does(headless, parts, stock, kind):
    with torch.inference_mode():
        ((context, extras),) = stock("CLIPTextEncode", clip=parts["clip"], text=PROMPTS[kind])[0]
        ours = headless.encode_text([PROMPTS[kind]])
    assert ours.context.shape == context.shape
    torch.testing.assert_close(ours.context, context, rtol=1e-4, atol=1e-4)
    if "pooled_output" in ours.extras:
        torch.testing.assert_close(ours.extras["pooled_output"], extras["pooled_output"], rtol=1e-4, atol=1e-4)
