"""Text encoders in training: blocks that are computed again give the same gradients and keep no converted weights."""

import pytest
import torch

FAMILIES = ("flux", "flux2", "flux2_dev", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")
TEXT = "a photo of <1> on a table"


@pytest.fixture
def learn_from(pack, reading_parts_of, monkeypatch):
    """What a text becomes, the gradient of a learnt vector, and bytes that autograd keeps of weights meanwhile."""

    def go(family, choice, half=False):
        parts = reading_parts_of(family)
        backbone = pack("host.adapters").backbone_of(**parts)
        encoders = parts["clip"].patcher.model
        before = {name: weight.data for name, weight in encoders.named_parameters()}
        kept = {}

        def note(tensor):  # of a text, (1, L, D) activations are copied, and weights kept
            converted = tuple(tensor.shape) in shapes or tuple(tensor.shape[::-1]) in shapes
            if converted and tensor.untyped_storage().data_ptr() not in own:
                kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor.clone() if tensor.ndim > 2 else tensor

        def noting():
            return torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)

        try:
            if half:
                with torch.inference_mode():
                    encoders.to(torch.bfloat16)
            backbone.recomputation.choice = choice
            generator = torch.Generator().manual_seed(3)
            vectors = {
                name: torch.randn(1, width, generator=generator).requires_grad_()
                for name, width in backbone.text_widths.items()
            }
            shapes = {tuple(weight.shape) for weight in encoders.parameters() if weight.ndim == 2}
            own = {weight.untyped_storage().data_ptr() for weight in encoders.parameters()}
            with monkeypatch.context() as patched:
                for module in ("host.comfy.text.encoding", "host.comfy.transformers.text"):
                    patched.setattr(pack(module), "saving_copies", noting)
                context = backbone.encode_text([TEXT], {"<1>": vectors}).context
            context.square().sum().backward()
        finally:
            backbone.close()
            for name, weight in encoders.named_parameters():
                weight.data = before[name]
        return context.detach(), {name: one.grad for name, one in vectors.items()}, sum(kept.values())

    return go


@pytest.mark.parametrize(("free", "again"), [(0.0, True), (float(2**50), False)])
def test_automatic_computes_twice_where_converted_weights_do_not_fit(pack, reading_parts_of, monkeypatch, free, again):
    import comfy.model_management as management

    parts = reading_parts_of("z_image")
    monkeypatch.setattr(management, "get_free_memory", lambda *_, **__: free)
    monkeypatch.setattr(pack("host.comfy.backbone"), "converted_bytes", lambda encoders: 1000)
    backbone = pack("host.adapters").backbone_of(**parts)
    backbone.recomputation.choice = "automatic"
    assert backbone._recomputes_text(parts["clip"], 1) is again
    with torch.no_grad():
        assert not backbone._recomputes_text(parts["clip"], 1)


def test_weights_in_single_precision_are_not_converted(pack, reading_parts_of):
    encoders, count = reading_parts_of("z_image")["clip"].patcher.model, pack("host.comfy.blocks").converted_bytes
    assert count(encoders) == 0
    assert count(torch.nn.Sequential(type("T5Block", (torch.nn.Linear,), {})(3, 5).half())) == 4 * (15 + 5)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_same_and_less_is_kept(learn_from, family):
    text, gradients, kept = learn_from(family, "off", half=True)
    again, recomputed, less = learn_from(family, "on", half=True)
    assert torch.equal(text, again)
    reached = [name for name, one in gradients.items() if one is not None]
    assert reached == [name for name, one in recomputed.items() if one is not None] and reached
    for name in reached:
        torch.testing.assert_close(recomputed[name], gradients[name], rtol=1e-4, atol=1e-6)
    assert less < kept / 4, "of converted weights"
