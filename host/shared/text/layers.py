"""Reading what the layers of CLIP text encoders compute, in either host, with hooks that change nothing."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from ....core.backbone import TextLayers

LAYERS = "encoder.layers"


@contextmanager
def text_layers(encoders: Mapping[str, nn.Module]) -> Iterator[Mapping[str, TextLayers]]:
    """Within the context, what the layers of each encoder computed in its last pass.

    Args:
        encoders: name to the module that holds ``encoder.layers``, as transformers calls them.

    Raises ``ValueError`` for no encoders.
    """
    if not encoders:
        raise ValueError(
            "the prompts of this model are not read by CLIP text encoders, the only ones whose layers are known; "
            "connect a CLIP of SD1.x, SD2.x or SDXL"
        )
    found = {name: TextLayers([], []) for name in encoders}
    with ExitStack() as hooks:
        for name, module in encoders.items():
            layers = list(module.get_submodule(LAYERS).children())
            for number, layer in enumerate(layers):
                before = layer.register_forward_pre_hook(_entering(found[name], first=number == 0), with_kwargs=True)
                hooks.callback(before.remove)
                attention: Any = layer.self_attn
                heads = attention.heads if hasattr(attention, "heads") else attention.num_heads
                hooks.callback(attention.out_proj.register_forward_pre_hook(_heads(found[name], heads)).remove)
            hooks.callback(layers[-1].register_forward_hook(_leaving(found[name])).remove)
        yield found


def _entering(found: TextLayers, first: bool) -> Any:
    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if first:
            found.states.clear()
            found.heads.clear()
        # ComfyUI's layers add to their input in place, so that it must be copied.
        found.states.append(_copy(args[0] if args else kwargs["hidden_states"]))

    return keep


def _leaving(found: TextLayers) -> Any:
    def keep(module: nn.Module, args: Any, output: Any) -> None:
        found.states.append(_copy(output[0] if isinstance(output, tuple) else output))

    return keep


def _heads(found: TextLayers, heads: int) -> Any:
    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        found.heads.append(_copy(args[0]).unflatten(-1, (heads, -1)))  # (B, L, heads, d)

    return keep


def _copy(rows: Tensor) -> Tensor:
    return rows.detach().float().cpu().clone()
