"""Listening by ComfyUI's options, on a layer that follows the protocol of its newest sources.

There queries, keys and values come in containers, a layer may name an attention of its own, and an override makes
ComfyUI leave that out. ``tests/comfyui/attribute/test_capture.py`` tests the installed version.
"""

import pytest
import torch

from concept_atelier.core.backbone import AttentionSite
from concept_atelier.host.comfy.attention.sites import preferred_attention
from concept_atelier.host.comfy.attention.taps import OVERRIDE, with_listener

KEYS = {kind: (kind, ("input", 1, 0)) for kind in ("self", "cross")}
SITES = {key: AttentionSite(f"unet.{kind}", kind, "down", 2, 1) for kind, key in KEYS.items()}


def attention_of(name, made):
    """An attention that notes its name and what it was given."""

    def attention(query, key, value, heads, **kwargs):
        made.append((name, type(query)))
        return query

    return attention


@pytest.fixture
def layer(container):
    """What a transformer block and its attention layer do."""

    def go(options, kind, default, own=None):
        query, key = torch.randn(1, 6, 8), torch.randn(1, 4, 8)
        given_options = {name: value for name, value in options.items() if name not in ("patches", "patches_replace")}
        for patch in options.get("patches", {}).get({"self": "attn1_patch", "cross": "attn2_patch"}[kind], ()):
            query, key, _ = patch(query, key, key, given_options)
        containers, kwargs = [container(one) for one in (query, key, key)], {"transformer_options": options}
        override = options.get(OVERRIDE)
        if override is not None and hasattr(override, "container_function"):
            override.container_function(*containers, 2, **kwargs)
        elif override is not None:
            override(default, *(one.take() for one in containers), 2, **kwargs)
        else:
            (own or default)(*(one.take() for one in containers), 2, **kwargs)
        return query

    return go


def options_with(**more):
    return {"block": ("input", 1), "block_index": 0, "activations_shape": [1, 8, 2, 3], **more}


@pytest.fixture
def recorded():
    return []


@pytest.fixture
def record_call(recorded):
    return lambda site, query, key, grid: recorded.append((site.kind, tuple(query.shape), tuple(key.shape), grid))


RECORDED = {kind: (kind, (1, 2, 6, 4), (1, 2, 4, 4), (2, 3)) for kind in KEYS}


def test_tensors_out_of_containers_are_recorded(recorded, record_call, layer):
    made = []
    options = with_listener(options_with(), SITES, record_call)
    for kind in KEYS:
        layer(options, kind, attention_of("default", made))
    assert recorded == [RECORDED["self"], RECORDED["cross"]] and made == [("default", torch.Tensor)] * 2


@pytest.mark.parametrize("kinds", [("self", "cross"), ("cross",)])
def test_a_layer_keeps_the_attention_of_its_own(recorded, record_call, kinds, layer):
    """Also where only layers of the other kind are recorded."""
    made = []
    sites = {KEYS[kind]: SITES[KEYS[kind]] for kind in kinds}
    options = with_listener(options_with(), sites, record_call, {KEYS["self"]: lambda: attention_of("own", made)})
    layer(options, "self", attention_of("default", made), attention_of("own", made))
    layer(options, "cross", attention_of("default", made))
    assert [name for name, _ in made] == ["own", "default"]
    assert recorded == [RECORDED[kind] for kind in kinds]


def test_an_override_before_ours_comes_first_as_it_does_without_us(recorded, record_call, layer):
    made = []
    chosen = attention_of("chosen", made)
    given = options_with(**{OVERRIDE: lambda attention, *args, **kwargs: chosen(*args, **kwargs)})
    options = with_listener(given, SITES, record_call, {KEYS["self"]: lambda: attention_of("own", made)})
    layer(options, "self", attention_of("default", made))
    assert made == [("chosen", torch.Tensor)] and recorded == [RECORDED["self"]]


def test_containers_go_on_to_an_override_that_takes_them(recorded, record_call, layer, container):
    made = []

    def override(attention, *args, **kwargs):
        raise AssertionError("it takes containers")

    override.container_function = attention_of("containers", made)
    options = with_listener(options_with(**{OVERRIDE: override}), SITES, record_call)
    layer(options, "cross", attention_of("default", made))
    assert made == [("containers", container)] and recorded == [RECORDED["cross"]]


def test_listeners_stand_around_each_other(recorded, record_call, layer):
    made, other = [], []
    own = {KEYS["self"]: lambda: attention_of("own", made)}
    inner = with_listener(options_with(), SITES, record_call, own)
    options = with_listener(inner, SITES, lambda *call: other.append(call), own)
    layer(options, "self", attention_of("default", made))
    assert len(recorded) == len(other) == 1 and [name for name, _ in made] == ["own"]


class Attention(torch.nn.Module):
    heads = 2

    def __init__(self, chooser=None):
        super().__init__()
        if chooser is not None:
            self.comfy_attention = chooser


class Chooser(torch.nn.Module):
    function = None


class Block(torch.nn.Module):
    def __init__(self, chooser):
        super().__init__()
        self.attn1, self.attn2 = Attention(), Attention(chooser)


class UNet(torch.nn.Module):
    def __init__(self, chooser):
        super().__init__()
        self.input_blocks = torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Sequential(Block(chooser))])
        self.middle_block, self.output_blocks = None, torch.nn.ModuleList()


def test_what_layers_prefer_is_asked_when_they_compute(recorded, record_call, layer):
    """A patch may put another choice in place when the model is loaded."""
    made = []
    unet = UNet(Chooser())
    preferred = preferred_attention(unet)
    assert list(preferred) == [KEYS["cross"]] and preferred_attention(UNet(None)) == {}
    options = with_listener(options_with(), SITES, record_call, preferred)
    layer(options, "cross", attention_of("default", made))
    unet.input_blocks[1][0].attn2.comfy_attention = chosen = Chooser()
    chosen.function = attention_of("own", made)
    layer(options, "cross", attention_of("default", made))
    assert [name for name, _ in made] == ["default", "own"]
