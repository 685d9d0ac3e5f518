"""What the pack depends on inside ComfyUI is there; where it is not, nodes say so before anything is computed."""

import asyncio
import sys

import pytest

VECTORS = "comfy.sd1_clip.SDTokenizer._try_get_embedding"


def owner_of(path):
    """The class or module that holds an item, and its name there."""
    *holders, name = path.split(".")
    loaded = max(end for end in range(1, len(holders) + 1) if ".".join(holders[:end]) in sys.modules)
    owner = sys.modules[".".join(holders[:loaded])]
    for part in holders[loaded:]:
        owner = getattr(owner, part)
    return owner, name


@pytest.fixture
def load(pack, monkeypatch):
    """Load the pack as ComfyUI does, one thing inside ComfyUI being another; its nodes by class name."""

    def go(path, other=None):
        owner, name = owner_of(path)
        if other is None:
            monkeypatch.delattr(owner, name)
        else:
            monkeypatch.setattr(owner, name, other)
        extension = asyncio.run(sys.modules[pack("nodes").__name__.rpartition(".")[0]].comfy_entrypoint())
        return {node.__name__: node for node in asyncio.run(extension.get_node_list())}

    return go


def test_this_version_has_everything(pack):
    items, internals = pack("host.comfy.items").ITEMS, pack("host.comfy.internals")
    assert internals.changes(items) == []
    assert {item.place.split(":")[0] for item in items} <= set(sys.modules), "else the check does not see them"


def test_the_check_costs_nothing(pack):
    import time

    items, internals = pack("host.comfy.items").ITEMS, pack("host.comfy.internals")
    before, start = set(sys.modules), time.process_time()
    internals.changes(items)
    assert time.process_time() - start < 0.5, "a few milliseconds on an idle machine"
    assert set(sys.modules) == before


def another_call(self):
    """In place of a method that is called with a text."""


def test_a_change_is_one_line_in_the_log_and_refuses_the_nodes(pack, load, caplog):
    nodes = load(VECTORS)
    (said,) = [record.getMessage() for record in caplog.records if "will not work" in record.getMessage()]
    assert "Localize Concepts, Localize Words," in said and "Encode Concept Prompt" in said
    assert (
        f"will not work on ComfyUI {sys.modules['comfyui_version'].__version__}, because {VECTORS}, through which"
        in said
    )
    assert "is gone. This pack was tested on ComfyUI 0." in said
    assert nodes["EncodeConceptPrompt"].validate_inputs(text="a cat") == said
    changed = pack("host.comfy.refusals").ChangedComfyUIError
    for name in ("EncodeConceptPrompt", "LearnConceptTokens"):
        with pytest.raises(changed, match="through which the pack puts learnt tokens into prompts, is gone"):
            nodes[name].PREPARE_CLASS_CLONE(None).execute()
        assert nodes[name].GET_SCHEMA().node_id == f"ConceptAtelier{name}"
    assert nodes["CaptureAttention"] is pack("nodes").CaptureAttention
    assert nodes["SaveConceptTokens"] is pack("nodes").SaveConceptTokens


@pytest.mark.parametrize(
    ("path", "other", "said", "refused", "works"),
    [
        (VECTORS, another_call, "can no longer be called as (self, written)", "ScoreConcepts", "EditConcepts"),
        ("comfy.samplers._calc_cond_batch", another_call, "no longer uses cond_or_uncond, sigmas, uuids",
         "CaptureAttention", "LocalizeConcepts"),
        ("comfy.lora.load_lora", None, "is gone", "EraseConcepts", "LocalizeConcepts"),
        ("comfy.taesd.taesd.TAESD", None, "is gone", "LoadLabModel", "LearnConceptTokens"),
    ],
)  # fmt: skip
def test_only_the_nodes_that_need_it_refuse(pack, load, caplog, path, other, said, refused, works):
    nodes = load(path, other)
    assert f"{path}, through which" in caplog.text and said in caplog.text
    assert nodes[refused] is not getattr(pack("nodes"), refused)
    assert nodes[works] is getattr(pack("nodes"), works)


def test_a_workflow_is_refused_before_it_starts(pack, load, comfyui, monkeypatch):
    """ComfyUI's own validation gives the sentence, with the node's id."""
    import execution

    nodes = load(VECTORS)
    for name, node in nodes.items():
        monkeypatch.setitem(comfyui.NODE_CLASS_MAPPINGS, f"ConceptAtelier{name}", node)
    prompt = {
        "load": {"class_type": "ConceptAtelierLoadLabModel", "inputs": {}},
        "learn": {"class_type": "ConceptAtelierShowWordHeatmap", "inputs": {"clip": ["load", 1], "text": "a"}},
    }
    valid, error, _, of_nodes = asyncio.run(execution.validate_prompt("prompt", prompt, None))
    assert not valid
    assert any(
        "through which the pack puts learnt tokens into prompts, is gone" in str(one)
        for one in of_nodes["learn"]["errors"]
    ), (
        error,
        of_nodes,
    )
