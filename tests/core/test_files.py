import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from concept_atelier.core import files
from concept_atelier.core.types import ConceptTokens, Erasure, LowRank

WIDTHS = {"clip_l": 192}
SDXL = {"clip_l": 768, "clip_g": 1280}


def tokens_of(widths, names=("apple", "crab"), seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = {
        name: {encoder: torch.randn(2, width, generator=generator) for encoder, width in widths.items()}
        for name in names
    }
    return ConceptTokens(vectors, "lab", torch.rand(5), {"template": "a photo of {}", "seed": "3"})


def save_all(folder, tokens):
    paths = [folder / f"{name}.safetensors" for name in tokens.names]
    for path, name in zip(paths, tokens.names, strict=True):
        files.save_embedding(path, tokens, name)
    return paths


@pytest.fixture
def tokens():
    return tokens_of(WIDTHS)


@pytest.mark.parametrize("widths", [WIDTHS, {"clip_h": 1024}, SDXL], ids=lambda widths: "+".join(widths))
def test_tokens_come_back_to_the_bit(tmp_path, widths):
    tokens = tokens_of(widths)
    paths = save_all(tmp_path / "new" / "folder", tokens)
    assert [path.name for path in paths] == ["apple.safetensors", "crab.safetensors"]
    loaded = files.load_embeddings(paths, widths)
    assert loaded.names == tokens.names and loaded.family == "lab"
    assert loaded.metadata == tokens.metadata
    for name in tokens.names:
        for encoder in widths:
            assert torch.equal(loaded.vectors[name][encoder], tokens.vectors[name][encoder])


def test_one_encoder_is_a_single_tensor_under_the_common_key(tmp_path, tokens):
    path = tmp_path / "apple.safetensors"
    files.save_embedding(path, tokens, "apple")
    assert set(load_file(path)) == {"emb_params"}
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["name"] == "apple" and metadata["family"] == "lab" and metadata["template"] == "a photo of {}"


def test_two_encoders_keep_their_names(tmp_path):
    files.save_embedding(tmp_path / "x.safetensors", tokens_of(SDXL), "apple")
    shapes = {key: tuple(rows.shape) for key, rows in load_file(tmp_path / "x.safetensors").items()}
    assert shapes == {"clip_l": (2, 768), "clip_g": (2, 1280)}


def test_foreign_files_are_read_and_named_after_the_file(tmp_path):
    path = tmp_path / "style.safetensors"
    save_file({"anything": torch.ones(192, dtype=torch.float16)}, path)
    loaded = files.load_embedding(path, WIDTHS, family="lab")
    assert loaded.names == ("style",) and loaded.family == "lab"
    assert torch.equal(loaded.vectors["style"]["clip_l"], torch.ones(1, 192))


def test_an_sdxl_file_serves_a_model_with_its_first_encoder(tmp_path):
    files.save_embedding(tmp_path / "x.safetensors", tokens_of(SDXL), "apple")
    assert files.load_embedding(tmp_path / "x.safetensors", {"clip_l": 768}).vectors["apple"].keys() == {"clip_l"}


@pytest.mark.parametrize("size", [0, 5, 60, 700])
def test_a_file_cut_short_is_refused(tmp_path, tokens, size):
    path = tmp_path / "apple.safetensors"
    files.save_embedding(path, tokens, "apple")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="cut short or no safetensors file"):
        files.load_embedding(path, WIDTHS)


def test_embeddings_inside_of_a_lora_file_are_read_joined(tmp_path):
    one, two = torch.ones(1, 192), torch.zeros(2, 192)
    both = {"bundle_emb.a.string_to_param.*": one, "bundle_emb.b.string_to_param.*": two}
    save_file({**both, "lora_unet_x.diff": torch.ones(3)}, tmp_path / "y.safetensors")
    (rows,) = files.load_embedding(tmp_path / "y.safetensors", WIDTHS).vectors["y"].values()
    assert torch.equal(rows, torch.cat([one, two]))
    sdxl = {"bundle_emb.a.clip_l": torch.ones(1, 768), "bundle_emb.a.clip_g": torch.ones(1, 1280)}
    save_file(sdxl, tmp_path / "z.safetensors")
    shapes = {"clip_l": 768, "clip_g": 1280}
    read = files.load_embedding(tmp_path / "z.safetensors", shapes).vectors["z"]
    assert {key: rows.shape[1] for key, rows in read.items()} == shapes


@pytest.mark.parametrize("name", ["old.pt", "old.bin", "OLD.CKPT"])
def test_pickled_files_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(b"not even a pickle")
    with pytest.raises(ValueError, match="pickled file.*convert it to .safetensors"):
        files.load_embedding(tmp_path / name, WIDTHS)


def test_a_pickle_under_a_safe_name_is_refused(tmp_path):
    path = tmp_path / "trick.safetensors"
    torch.save({"emb_params": torch.ones(1, 192)}, path)
    with pytest.raises(ValueError, match="no safetensors file"):
        files.load_embedding(path, WIDTHS)


@pytest.mark.parametrize(
    "content, widths, message",
    [
        ({"a": torch.ones(1, 192), "b": torch.ones(1, 192)}, WIDTHS, "holds a, b, expected clip_l or a single emb_par"),
        ({"emb_params": torch.ones(1, 768)}, SDXL, "holds emb_params, expected clip_l and clip_g"),
        ({"emb_params": torch.ones(1, 768)}, WIDTHS, "768 wide, this model's clip_l reads 192"),
        ({"emb_params": torch.full((1, 192), float("nan"))}, WIDTHS, "not finite"),
        ({"emb_params": torch.full((1, 192), float("inf"))}, WIDTHS, "not finite"),
        ({"emb_params": torch.ones(1, 1, 192)}, WIDTHS, r"expected vectors \(n, d\)"),
        ({"emb_params": torch.ones(1, 192, dtype=torch.long)}, WIDTHS, r"expected vectors \(n, d\)"),
        ({"emb_params": torch.ones(0, 192)}, WIDTHS, r"expected vectors \(n, d\)"),
        ({}, WIDTHS, "holds no tensors"),
    ],
)
def test_files_with_the_wrong_content_are_refused(tmp_path, content, widths, message):
    path = tmp_path / "wrong.safetensors"
    save_file(content, path)
    with pytest.raises(ValueError, match=message):
        files.load_embedding(path, widths)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        files.load_embedding(tmp_path / "nowhere.safetensors", WIDTHS)


def test_two_tokens_of_one_name_are_refused(tmp_path, tokens):
    for folder in ("a", "b"):
        save_all(tmp_path / folder, tokens)
    with pytest.raises(ValueError, match="another token called 'apple'"):
        files.load_embeddings([tmp_path / "a/apple.safetensors", tmp_path / "b/apple.safetensors"], WIDTHS)
    with pytest.raises(ValueError, match="at least one"):
        files.load_embeddings([], WIDTHS)


def test_vectors_that_are_not_finite_are_not_saved(tmp_path):
    tokens = ConceptTokens({"apple": {"clip_l": torch.full((1, 192), float("nan"))}}, "lab")
    with pytest.raises(ValueError, match="not finite"):
        files.save_embedding(tmp_path / "apple.safetensors", tokens, "apple")
    with pytest.raises(ValueError, match="no token 'pear'"):
        files.save_embedding(tmp_path / "pear.safetensors", tokens, "pear")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("reason", [OSError("No space left on device"), KeyboardInterrupt()], ids=["disk", "interrupt"])
def test_a_failed_save_leaves_the_old_file_whole_and_nothing_else(tmp_path, tokens, monkeypatch, stage, reason):
    path = tmp_path / "apple.safetensors"
    files.save_embedding(path, tokens, "apple")
    before = path.read_bytes()

    def fail(*args):
        raise reason

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(type(reason)):
        files.save_embedding(path, tokens_of(WIDTHS, seed=1), "apple")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_running_out_of_room_in_the_middle_of_a_file_leaves_the_old_one_whole(tmp_path, tokens):
    resource = pytest.importorskip("resource", reason="file size limits are a Unix thing")
    path = tmp_path / "apple.safetensors"
    files.save_embedding(path, tokens, "apple")
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError):
            files.save_embedding(path, tokens_of(WIDTHS, seed=1), "apple")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saved_files_have_ordinary_permissions(tmp_path, tokens):
    files.save_embedding(tmp_path / "apple.safetensors", tokens, "apple")
    (tmp_path / "plain").touch()
    assert (tmp_path / "apple.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_only_safetensors_are_written(tmp_path, tokens):
    with pytest.raises(ValueError, match="only .safetensors"):
        files.save_embedding(tmp_path / "apple.pt", tokens, "apple")


def erasure_of(strength):
    generator = torch.Generator().manual_seed(0)
    factor = LowRank(torch.randn(6, 2, generator=generator), torch.randn(2, 5, generator=generator))
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    return Erasure({name: factor}, strength, "lab", {"concepts": '["cat"]'})


def test_a_lora_file_has_kohyas_names_and_the_strength_inside(tmp_path):
    erasure = erasure_of(-0.5)
    files.save_lora(tmp_path / "no_cat.safetensors", erasure)
    tensors, metadata = files.load_tensors(tmp_path / "no_cat.safetensors")
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    assert set(tensors) == {f"{key}.lora_up.weight", f"{key}.lora_down.weight", f"{key}.alpha"}
    assert tensors[f"{key}.alpha"] == 2
    (factor,) = erasure.factors.values()
    change = tensors[f"{key}.lora_up.weight"] @ tensors[f"{key}.lora_down.weight"]
    torch.testing.assert_close(change, -0.5 * factor.dense())
    assert metadata["concepts"] == '["cat"]' and metadata["strength"] == "-0.5"


@pytest.mark.parametrize("strength", [1.0, -0.7])
def test_diffusers_loads_the_lora_and_predicts_what_the_patched_model_predicts(
    tmp_path, lab_backbone, lab_model, lab_clip, strength
):
    from diffusers.loaders import StableDiffusionLoraLoaderMixin

    from concept_atelier.core.erase.methods.uce import METHOD
    from concept_atelier.host.adapters import backbone_of
    from concept_atelier.host.shared.weight_patches import WeightPatch
    from concept_atelier.lab.model.modules import build_modules

    erasure = METHOD.erase(lab_backbone, ["cat"], "dog", ["crab"], METHOD.preset("small"), strength)
    files.save_lora(tmp_path / "no_cat.safetensors", erasure)
    other = build_modules(seed=0).unet
    loader = StableDiffusionLoraLoaderMixin
    state, alphas = loader.lora_state_dict(tmp_path, weight_name="no_cat.safetensors")
    loader.load_lora_into_unet(state, alphas, other)

    latent = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    conditioning, timestep = lab_backbone.encode_text(["a photo of a cat", "a dog"]), torch.tensor([500, 20])
    with torch.no_grad():
        expected = backbone_of(lab_model.with_patch(WeightPatch(erasure.factors, strength)), lab_clip).predict_noise(
            latent, timestep, conditioning
        )
        plain = lab_backbone.predict_noise(latent, timestep, conditioning)
        loaded = other(latent, timestep, conditioning.context).sample
    torch.testing.assert_close(loaded, expected, atol=1e-5, rtol=1e-5)
    assert (expected - plain).abs().max() > 1e-3


def test_diffusers_reads_a_token_file(tmp_path, tokens, lab_modules):
    from copy import deepcopy

    from diffusers.loaders import TextualInversionLoaderMixin

    class Loader(TextualInversionLoaderMixin):
        """The little of a pipeline that loading needs."""

        components: dict = {}

        def __init__(self, tokenizer, text_encoder):
            self.tokenizer, self.text_encoder, self.hf_device_map = tokenizer, text_encoder, None

    files.save_embedding(tmp_path / "apple.safetensors", tokens, "apple")
    loader = Loader(deepcopy(lab_modules.tokenizer), deepcopy(lab_modules.text_encoder))
    loader.load_textual_inversion(tmp_path / "apple.safetensors", token="<apple>")
    first = loader.tokenizer.convert_tokens_to_ids("<apple>")
    table = loader.text_encoder.get_input_embeddings().weight
    assert torch.equal(table[[first, first + 1]], tokens.vectors["apple"]["clip_l"])


def test_a_file_without_tensors_is_refused(tmp_path):
    files.save_tensors(tmp_path / "empty.safetensors", {}, {"name": "apple"})
    with pytest.raises(ValueError, match="empty.safetensors holds no tensors"):
        files.load_tensors(tmp_path / "empty.safetensors")


@pytest.mark.parametrize("name", ["", "a b", "<x>", "\x1b[2J", "x" * 1000])
def test_a_token_whose_metadata_name_no_prompt_can_say_is_named_as_its_file(tmp_path, name):
    path = tmp_path / "pear.safetensors"
    files.save_tensors(path, {"emb_params": torch.ones(1, 4)}, {"name": name})
    assert files.load_embedding(path, {"clip_l": 4}).names == ("pear",)


def test_numbers_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "pear.safetensors"
    files.save_tensors(path, {"emb_params": torch.ones(1, 4, dtype=torch.complex64)})
    with pytest.raises(ValueError, match="pear.safetensors holds numbers of the type complex64"):
        files.load_tensors(path)


@pytest.mark.parametrize(("factors", "said"), [({}, "changes no weight"), ({"a.weight": torch.nan}, "not finite")])
def test_an_erasure_that_no_lora_can_hold_is_refused(factors, said):
    changes = {name: LowRank(torch.full((2, 1), value), torch.ones(1, 3)) for name, value in factors.items()}
    with pytest.raises(ValueError, match=said):
        files.lora_tensors(Erasure(changes, 1.0, "lab"))
