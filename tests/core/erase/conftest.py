"""Models that tests of erasing share."""

import pytest
import torch


@pytest.fixture(scope="session")
def two_towers(lab_modules):
    """The text encoders of SDXL, small and at random weights."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from concept_atelier.host.headless.backbone import DiffusersBackbone
    from concept_atelier.host.shared.handles import ClipHandle, TextEncoder

    def encoder(kind, width):
        size = {"hidden_size": width, "intermediate_size": width, "num_hidden_layers": 2, "num_attention_heads": 2}
        end = lab_modules.tokenizer.eos_token_id
        ids = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
        model = kind(CLIPTextConfig(vocab_size=len(lab_modules.tokenizer), projection_dim=24, **size, **ids))
        return TextEncoder(lab_modules.tokenizer, model.eval(), layer=-2, normalise=False)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        encoders = {"clip_l": encoder(CLIPTextModel, 16), "clip_g": encoder(CLIPTextModelWithProjection, 32)}
    return DiffusersBackbone(clip=ClipHandle(encoders, "sdxl"))
