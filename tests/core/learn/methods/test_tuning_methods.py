"""What all methods that tune a model have in common, over the lab model at random weights."""

from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.learn.methods.attencraft import AttenCraftSettings
from concept_atelier.core.learn.methods.break_a_scene import BreakASceneSettings
from concept_atelier.core.learn.methods.disendiff import DisenDiffSettings
from concept_atelier.core.learn.methods.far import FarSettings
from concept_atelier.core.learn.registry import METHODS
from concept_atelier.core.types import Concepts

SHARED = {"steps": 2, "rate": 1e-2, "adapter_rate": 1e-2, "rank": 2, "prior": 1, "prior_steps": 1, "downscale": 2}
SHARED |= {"attention_weight": 1.0}
QUICK = {
    "break_a_scene": BreakASceneSettings(**SHARED),
    "disendiff": DisenDiffSettings(**SHARED),
    "attencraft": AttenCraftSettings(**SHARED, refresh=1, min_mask_ssim=-1.0, margin=0.0, temperature=0.1),
    "far": FarSettings(**SHARED, composites=2, plain_share=0.0),
}
CLASSES = {"apple": "cat", "crab": "rocket"}
PARTS = [
    *[(name, {part: 0.0}) for name in QUICK for part in ("attention_weight", "prior_weight")],
    *[(name, {"keep_start": False}) for name in QUICK],
    *[(name, {"template": "here is {}"}) for name in QUICK],
    ("break_a_scene", {"token_share": 0.0}),
    ("break_a_scene", {"layers": "cross"}),
    ("disendiff", {"bind_weight": 0.0}),
    ("disendiff", {"apart_weight": 0.0}),
    ("disendiff", {"blur": False}),
    ("disendiff", {"suppression": 2}),
    ("disendiff", {"augment": False}),
    ("disendiff", {"parts": 2}),
    ("attencraft", {"subsets": "size"}),
    ("attencraft", {"context": 0.5}),
    ("attencraft", {"temperature": 1.0}),
    ("far", {"form": "ratio"}),
    ("far", {"plain_share": 1.0}),
    ("far", {"turn": 0.0}),
    ("far", {"erosion": 6}),
    ("far", {"feather": 4}),
]


@pytest.fixture(scope="module")
def learn(lab_backbone, picture, concepts):
    def run(method, settings=None, **options):
        given = {"classes": CLASSES, "seed": 3} | options
        return METHODS[method].learn(lab_backbone, picture, concepts, settings or QUICK[method], **given)

    return run


@pytest.fixture(scope="module")
def plain(learn):
    """What the quick settings give, by method; made once."""
    return {method: learn(method) for method in QUICK}


@pytest.fixture(scope="module")
def first(learn):
    """What their first step gives, by method; made once."""
    return {method: learn(method, replace(settings, steps=1)) for method, settings in QUICK.items()}


def same(one, other):
    vectors = all(one.vectors[n]["clip_l"].equal(other.vectors[n]["clip_l"]) for n in one.vectors)
    return vectors and all(
        one.adapter[n].up.equal(other.adapter[n].up) and one.adapter[n].down.equal(other.adapter[n].down)
        for n in one.adapter
    )


@pytest.mark.parametrize("method", QUICK)
def test_tokens_come_with_a_change_of_the_model(plain, lab_backbone, method):
    tokens = plain[method]
    assert tokens.names == ("apple", "crab") and tokens.metadata["method"] == method
    weights = {w.name: w for w in lab_backbone.attention_weights()}
    expected = [w.name for w in weights.values() if w.kind == "cross" and w.role in ("key", "value")]
    assert list(tokens.adapter) == expected
    for name, change in tokens.adapter.items():
        assert change.dense().shape == weights[name].shape and change.dense().abs().max() > 0
        assert not change.up.requires_grad and not change.up.is_inference()
    assert torch.isfinite(tokens.losses).all() and len(tokens.losses) == 2


@pytest.mark.parametrize("method", QUICK)
def test_same_seed_same_result_and_the_global_generator_plays_no_part(learn, plain, method):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert same(learn(method), plain[method]) and torch.equal(state, torch.get_rng_state())
    assert not same(learn(method, seed=4), plain[method])


@pytest.mark.parametrize(("method", "change"), PARTS, ids=lambda given: given if isinstance(given, str) else str(given))
def test_every_part_matters(learn, first, plain, method, change):
    """In the first step, but for the share of steps that train tokens alone."""
    steps, before = (2, plain) if "token_share" in change else (1, first)
    assert not same(before[method], learn(method, replace(QUICK[method], steps=steps, **change)))


@pytest.mark.parametrize("method", QUICK)
def test_without_prior_pictures_and_without_a_change_of_the_model(learn, method):
    settings = replace(QUICK[method], prior=0, rank=0, **({"token_share": 1.0} if method == "break_a_scene" else {}))
    tokens = learn(method, settings)
    assert tokens.adapter == {} and torch.isfinite(tokens.losses).all()


@pytest.mark.parametrize("method", QUICK)
def test_the_start_of_text_token_is_read_as_before(plain, lab_backbone, method):
    with torch.no_grad():
        start, word = lab_backbone.encode_text(["a cat"]).context[0, :2]
    for change in plain[method].adapter.values():
        moved = change.dense() @ word
        assert (change.dense() @ start).abs().max() < 1e-4 * moved.abs().max()


@pytest.mark.parametrize("method", QUICK)
def test_the_model_is_left_as_it_was(learn, lab_modules, lab_backbone, method):
    before = {name: tensor.clone() for name, tensor in lab_modules.unet.state_dict().items()}

    class Cancelled(Exception):
        pass

    def cancel(step, total, loss, tokens):
        assert (step, total) == (1, 2) and tokens.adapter
        raise Cancelled

    with pytest.raises(Cancelled):
        learn(method, on_step=cancel)
    assert all(tensor.equal(before[name]) for name, tensor in lab_modules.unet.state_dict().items())
    assert all(weight.grad is None for weight in lab_modules.unet.parameters())
    assert not any(module._forward_hooks for module in lab_modules.unet.modules())
    assert not lab_backbone._changes.weights and not lab_backbone._changes.texts


@pytest.mark.parametrize("method", QUICK)
def test_runs_under_inference_mode_as_nodes_do(lab_backbone, picture, concepts, plain, method):
    with torch.inference_mode():
        inside = Concepts(
            concepts.masks.clone(), concepts.targets.clone(), concepts.names, concepts.scores, concepts.picture_size
        )
        tokens = METHODS[method].learn(lab_backbone, picture.clone(), inside, QUICK[method], classes=CLASSES, seed=3)
    assert same(tokens, plain[method])


@pytest.mark.parametrize("method", QUICK)
def test_presets_differ_and_every_setting_has_help(method):
    presets = METHODS[method].presets
    assert list(presets) == ["paper", "small"] and presets["paper"] != presets["small"]
    assert all(field.metadata["help"] for field in fields(presets["paper"]))


@pytest.mark.parametrize("method", QUICK)
@pytest.mark.parametrize(
    "wrong", [{"rank": -1}, {"prior": -1}, {"adapter_rate": 0.0}, {"parts": 0}, {"longest_grid": 0}], ids=str
)
def test_settings_are_checked(method, wrong):
    with pytest.raises(ValueError):
        replace(QUICK[method], **wrong)
