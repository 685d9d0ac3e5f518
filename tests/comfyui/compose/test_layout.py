"""Contract: the lab model in SD1.5's key layout is the same model to ComfyUI's own code. Needs an installed ComfyUI.

ComfyUI runs in a process of its own (``COMFYUI_PYTHON``, or the environment in its folder): once it is imported, this
package takes the process for ComfyUI. Inputs and outputs travel as safetensors.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from concept_atelier.lab.model.convert import checkpoint
from concept_atelier.lab.model.modules import TEXT_WIDTH, UNET_CONFIG

SCRIPT = """
import sys
comfy, folder = sys.argv[1:]
sys.path.insert(0, comfy)
sys.argv = sys.argv[:1]
from comfy.cli_args import args
args.cpu = True
import comfy.ops, torch
from comfy.clip_model import CLIPTextModel
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from safetensors.torch import load_file, save_file

given, state, answers = load_file(f"{folder}/given.safetensors"), load_file(f"{folder}/state.safetensors"), {}

def part(prefix):
    return {key[len(prefix):]: value for key, value in state.items() if key.startswith(prefix)}

with torch.inference_mode():
    unet = UNetModel(
        image_size=16, in_channels=4, out_channels=4, model_channels=64, num_res_blocks=[1, 1, 1],
        channel_mult=[1, 2, 3], num_head_channels=32, transformer_depth=[1, 1, 1], transformer_depth_output=[1] * 6,
        transformer_depth_middle=1, use_spatial_transformer=True, use_linear_in_transformer=False, context_dim=192,
        legacy=False, adm_in_channels=None, dtype=torch.float32, operations=comfy.ops.disable_weight_init,
    )
    unet.load_state_dict(part("model.diffusion_model."), strict=True)
    for name in ("square", "wide", "tall"):
        answers[name] = unet(given[name], timesteps=given["timesteps"], context=given["context"])

    text = CLIPTextModel(
        {"num_hidden_layers": 3, "hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 768,
         "hidden_act": "quick_gelu", "max_position_embeddings": 77, "eos_token_id": 753},
        torch.float32, "cpu", comfy.ops.disable_weight_init,
    )
    text.set_input_embeddings(comfy.ops.disable_weight_init.Embedding(754, 192))  # ComfyUI's table has CLIP's size
    weights = part("cond_stage_model.transformer.")
    weights["text_projection.weight"] = torch.eye(192)  # ours has none
    text.load_state_dict(weights, strict=True)
    answers["hidden"], _, _, answers["pooled"] = text(given["tokens"])
save_file({name: value.contiguous() for name, value in answers.items()}, f"{folder}/answers.safetensors")
"""

LATENTS = {"square": (2, 4, 16, 16), "wide": (2, 4, 8, 24), "tall": (2, 4, 20, 12)}
BOS, EOS = 752, 753


def comfy_python(comfy):
    found = (comfy / name / "bin/python" for name in (".venv", "venv"))
    return os.environ.get("COMFYUI_PYTHON") or next((str(p) for p in found if p.exists()), sys.executable)


@pytest.fixture(scope="module")
def given():
    generator = torch.Generator().manual_seed(0)
    latents = {name: torch.randn(shape, generator=generator) for name, shape in LATENTS.items()}
    tokens = torch.full((2, 77), EOS)
    tokens[:, 0] = BOS
    tokens[0, 1:6], tokens[1, 1:40] = torch.arange(300, 305), torch.arange(100, 139)
    context = torch.randn(2, 77, TEXT_WIDTH, generator=generator)
    return {**latents, "timesteps": torch.tensor([7.0, 801.0]), "context": context, "tokens": tokens}


@pytest.fixture(scope="module")
def expected(lab_modules, given):
    """What diffusers and transformers make of it."""
    with torch.no_grad():
        noise = {
            name: lab_modules.unet(given[name], given["timesteps"], encoder_hidden_states=given["context"]).sample
            for name in LATENTS
        }
        text = lab_modules.text_encoder(given["tokens"])
    return {**noise, "hidden": text.last_hidden_state, "pooled": text.pooler_output}


@pytest.fixture(scope="module")
def answers(lab_modules, given, tmp_path_factory):
    """What ComfyUI makes of it."""
    comfy = os.environ.get("COMFYUI_PATH")
    if not comfy:
        pytest.skip("set COMFYUI_PATH (and COMFYUI_PYTHON) to an installed ComfyUI to run its model code")
    folder = tmp_path_factory.mktemp("layout")
    save_file(given, folder / "given.safetensors")
    save_file({k: v.contiguous() for k, v in checkpoint(lab_modules).items()}, folder / "state.safetensors")
    command = [comfy_python(Path(comfy)), "-c", SCRIPT, comfy, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if "ModuleNotFoundError: No module named 'comfy" in done.stderr:
        pytest.skip(f"COMFYUI_PATH={comfy} is no ComfyUI that {command[0]} can import")
    assert done.returncode == 0, done.stderr
    return load_file(folder / "answers.safetensors")


def test_the_script_builds_the_lab_unet():
    """The numbers in the script are the lab's; a change here must be made there."""
    assert UNET_CONFIG["block_out_channels"] == (64, 128, 192) and UNET_CONFIG["layers_per_block"] == 1
    assert UNET_CONFIG["attention_head_dim"] == (2, 4, 6) and TEXT_WIDTH == 192


@pytest.mark.parametrize("name", [*LATENTS, "hidden", "pooled"])
def test_comfyui_computes_the_same(answers, expected, name):
    assert expected[name].abs().max() > 0.1  # a model that answers nothing would agree with anything
    torch.testing.assert_close(answers[name], expected[name], rtol=0, atol=1e-5 * expected[name].abs().max().item())
