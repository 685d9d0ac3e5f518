"""Nodes run as hosts run them, over the lab model at random weights, with small pictures and few steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from concept_atelier.core.types import Concepts, ConceptTokens
from concept_atelier.host.files import folders
from concept_atelier.host.schema import io
from concept_atelier.nodes import (
    ConceptsFromMasks,
    EraseConcepts,
    LearnConceptTokens,
)

SIZE = (64, 96)


@pytest.fixture(autouse=True)
def here(tmp_path):
    """Folders below the test's own, in force."""
    with folders.use(folders.headless(tmp_path / "out", (tmp_path / "in",), tmp_path / "models")) as chosen:
        yield chosen


def run_node(node: type[io.ComfyNode], **given: Any) -> io.NodeOutput:
    """Run a node on its locked clone under inference mode; widgets that are not given keep their defaults."""
    schema = node.GET_SCHEMA()
    defaults = {entry.id: entry.as_dict()["default"] for entry in schema.inputs if "default" in entry.as_dict()}
    clone = node.PREPARE_CLASS_CLONE({hidden: None for hidden in schema.hidden})
    with torch.inference_mode():
        result = clone.execute(**(defaults | given))
    return result if isinstance(result, io.NodeOutput) else io.NodeOutput(*result)


@pytest.fixture(scope="session")
def call() -> Callable[..., io.NodeOutput]:
    return run_node


@pytest.fixture(scope="session")
def lab_modules(narrow_modules):
    return narrow_modules


@pytest.fixture(scope="session")
def lab_model(narrow_model):
    return narrow_model


@pytest.fixture(scope="session")
def lab_backbone(narrow_backbone):
    return narrow_backbone


@pytest.fixture(scope="session")
def sockets(lab_modules) -> dict[str, Any]:
    """MODEL, CLIP and VAE under the names that most nodes give them."""
    from concept_atelier.lab.model.handles import handles

    return dict(zip(("model", "clip", "vae"), handles(lab_modules), strict=True))


@pytest.fixture(scope="session")
def transformer(lab_transformer) -> dict[str, Any]:
    """The same of a small lab transformer."""
    return dict(zip(("model", "clip", "vae"), lab_transformer, strict=True))


@pytest.fixture(scope="session")
def image() -> torch.Tensor:
    """IMAGE (1, 64, 96, 3): a red and a green square on blue."""
    picture = torch.zeros(1, *SIZE, 3)
    picture[..., 2] = 0.6
    picture[:, 8:40, 8:40] = torch.tensor([0.9, 0.1, 0.1])
    picture[:, 24:56, 56:88] = torch.tensor([0.1, 0.8, 0.2])
    return picture


@pytest.fixture(scope="session")
def masks() -> torch.Tensor:
    """MASK (2, 64, 96) of the two squares."""
    squares = torch.zeros(2, *SIZE)
    squares[0, 8:40, 8:40] = 1
    squares[1, 24:56, 56:88] = 1
    return squares


@pytest.fixture(scope="session")
def concepts(sockets, image, masks) -> Concepts:
    """The two squares as ``red`` and ``green``."""
    return run_node(ConceptsFromMasks, **sockets, image=image, masks=masks, names="red, green")[0]


@pytest.fixture(scope="session")
def learn(sockets, image, concepts) -> Callable[..., io.NodeOutput]:
    """Learn Concept Tokens with three steps and no preview, unless told otherwise."""

    def go(**changes: Any) -> io.NodeOutput:
        given = {**sockets, "image": image, "concepts": concepts, "steps": 3, "preview_every": 0, **changes}
        return run_node(LearnConceptTokens, **given)

    return go


@pytest.fixture(scope="session")
def tokens(learn, tmp_path_factory) -> ConceptTokens:
    """Tokens ``red`` and ``green`` after three steps."""
    with folders.use(folders.headless(tmp_path_factory.mktemp("learnt"))):
        return learn()[0]


@pytest.fixture(scope="session")
def encode(sockets) -> Callable[[str], Any]:
    """A text to CONDITIONING with the stock node."""
    from concept_atelier.host.workflow.stock import CLIPTextEncode

    return lambda text: run_node(CLIPTextEncode, clip=sockets["clip"], text=text)[0]


@pytest.fixture(scope="session")
def draw(sockets, encode) -> Callable[..., Any]:
    """Sample two steps of 64x96 pixels; returns LATENT."""
    from concept_atelier.host.workflow.stock import EmptyLatentImage, KSampler

    def go(model: Any = None, text: str = "a cat", positive: Any = None, batch: int = 1, seed: int = 3) -> Any:
        empty = run_node(EmptyLatentImage, width=SIZE[1], height=SIZE[0], batch_size=batch)[0]
        given = {"sampler_name": "euler", "scheduler": "normal", "steps": 2, "cfg": 3.0, "latent_image": empty}
        given |= {"positive": positive or encode(text), "negative": encode(""), "seed": seed}
        return run_node(KSampler, model=model or sockets["model"], **given)[0]

    return go


@pytest.fixture(scope="session")
def erase(sockets) -> Callable[..., io.NodeOutput]:
    """Erase Concepts from the model, ``cat`` unless told otherwise."""

    def go(**changes: Any) -> io.NodeOutput:
        given = {"model": sockets["model"], "clip": sockets["clip"], "concepts": "cat", "damping": 0.1, **changes}
        return run_node(EraseConcepts, **given)

    return go


@pytest.fixture(scope="session")
def hooks_of(lab_modules) -> Callable[[], int]:
    """How many hooks of ours hang on the shared model (transformers leaves some of its own once it was asked for all
    hidden states)."""

    def ours(hook) -> bool:
        return getattr(hook, "__module__", "").startswith("concept_atelier")

    def count() -> int:
        parts = (lab_modules.unet, lab_modules.text_encoder, lab_modules.vae)
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        modules = [module for part in parts for module in part.modules()]
        return sum(ours(hook) for module in modules for kind in kinds for hook in getattr(module, kind).values())

    return count


@pytest.fixture
def files_below(tmp_path) -> Callable[..., list[str]]:
    """Names of all files below the test's folder, hidden ones included, previews left out."""

    def listed(folder: Path = tmp_path) -> list[str]:
        found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in found if "temp" not in path.parts)

    return listed
