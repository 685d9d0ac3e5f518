"""Rows of text for concepts beside a prompt's, in diffusers' ``FluxTransformer2DModel``, by hooks.

They stand behind the prompt's rows and are masked: nothing but themselves reads them, and they read the picture and one
another. What the model predicts stays the same up to rounding. Taps of attention that are open at the same time count
them as text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...core.attribute.concept_attention import ConceptCall, ConceptRows, ConceptTap, concept_mask
from ...core.backbone import AttentionSite
from .taps import Forward, hooked


@contextmanager
def concepts_beside(
    transformer: Any,
    sites: Sequence[AttentionSite],
    tap: ConceptTap,
    concepts: ConceptRows,
    forward: Callable[[], Forward],
) -> Iterator[None]:
    """Within the context concepts run beside the text, and ``tap`` is called beside each site; all hooks are gone
    afterwards. ``forward`` returns the description of the pass that is running."""
    count = len(concepts.rows)

    def extend(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, **_extended(args[0], kwargs, concepts.rows)}

    def hooks() -> Iterator[list[RemovableHandle]]:
        yield [transformer.register_forward_pre_hook(extend, with_kwargs=True)]
        for site in sites:
            yield _listen(transformer.get_submodule(site.name), site, tap, count, forward)

    with hooked(hooks()):
        yield


def _extended(picture: Tensor, kwargs: Mapping[str, Any], concepts: Tensor) -> dict[str, Any]:
    """Arguments of a call with the concepts' rows (C, D) behind its text (B, L, D)."""
    text, positions = kwargs["encoder_hidden_states"], kwargs["txt_ids"]
    length, count = text.shape[1], len(concepts)
    rows = length + count + picture.shape[1]
    mask = concept_mask(rows, slice(length, length + count), slice(length + count, rows))
    return {
        "encoder_hidden_states": torch.cat([text, concepts.to(text).expand(len(text), -1, -1)], 1),
        "txt_ids": torch.cat([positions, positions.new_zeros(count, positions.shape[1])]),
        "joint_attention_kwargs": {"attention_mask": mask.to(text.device)},
    }


def _listen(
    layer: Any, site: AttentionSite, tap: ConceptTap, count: int, forward: Callable[[], Forward]
) -> list[RemovableHandle]:
    """Reads what the heads give, before the projection behind them."""
    seen: dict[str, Tensor] = {}

    def report(picture: Tensor, text: Tensor) -> None:
        running = forward()
        tap(ConceptCall(site, picture, text[:, -count:], site.grid(running.latent_size), running.conditional))

    def keep_picture(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen["picture"] = args[0]

    def report_both(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        report(seen.pop("picture"), args[0])

    def report_rows(module: nn.Module, args: Any, output: Tensor) -> None:
        height, width = site.grid(forward().latent_size)
        text = output.shape[1] - height * width
        report(output[:, text:], output[:, :text])

    if not hasattr(layer, "to_add_out"):  # a block with one stream projects later, with its second layer
        return [layer.register_forward_hook(report_rows)]
    return [
        layer.to_out[0].register_forward_pre_hook(keep_picture),
        layer.to_add_out.register_forward_pre_hook(report_both),
    ]
