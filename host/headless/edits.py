"""Edits of attention layers of diffusers' denoisers: forward hooks that read queries, keys and values, and give what an
edit returns to the layer behind the heads in place of the layer's own output.

The layer's own attention is computed all the same. Where an edit returns None its output goes on, bit for bit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...core.backbone import AttentionCall, AttentionEdit, AttentionInputs, AttentionSite, EditedOutput
from .flux import turned
from .taps import Forward, hooked, split_heads

PROJECTIONS = ("to_q", "to_k", "to_v")
"""Of a UNet's layer, the projections to queries, keys and values."""


@contextmanager
def edited(
    denoiser: Any, sites: Sequence[AttentionSite], edit: AttentionEdit, forward: Callable[[], Forward]
) -> Iterator[None]:
    """Within the context each of the sites goes by ``edit``; all hooks are gone afterwards, whatever happens.

    ``forward`` returns the description of the pass that is running.
    """
    with hooked(
        (_edit_joint if site.kind == "joint" else _edit)(denoiser.get_submodule(site.name), site, edit, forward)
        for site in sites
    ):
        yield


def _edit(
    layer: Any, site: AttentionSite, edit: AttentionEdit, forward: Callable[[], Forward]
) -> list[RemovableHandle]:
    """Hooks of a UNet's layer."""
    seen: dict[str, Tensor] = {}
    sources: dict[str, Tensor] = {}
    behind: list[tuple[Tensor, Tensor]] = []

    def replace_output(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        parts = [split_heads(seen.pop(name), site.heads) for name in PROJECTIONS]
        found = _found(site, parts, float(layer.scale), forward(), edit, [sources.pop(name) for name in PROJECTIONS])
        behind[:] = [(rows, output.behind) for rows, output in found if output.behind is not None]
        return (_put(found, args[0]), *args[1:]) if found else None

    def add_behind(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        result = output.clone() if behind else None
        for rows, more in behind:
            assert result is not None
            result[rows] += more.to(output.dtype)
        behind.clear()
        return result

    hooks = [_keep(getattr(layer, name), name, seen, sources) for name in PROJECTIONS]
    hooks.append(layer.to_out[0].register_forward_pre_hook(replace_output))
    return [*hooks, layer.to_out[0].register_forward_hook(add_behind)]


def _edit_joint(
    layer: Any, site: AttentionSite, edit: AttentionEdit, forward: Callable[[], Forward]
) -> list[RemovableHandle]:
    """Hooks of a transformer's layer. In blocks with two streams the picture's rows and the text's leave by two
    projections; the picture's runs first."""
    seen: dict[str, Any] = {}
    two_streams = hasattr(layer, "to_add_out")

    def begin(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        seen.clear()
        seen["rotation"] = kwargs["image_rotary_emb"]

    def found() -> Found:
        if "found" not in seen:
            parts = _joint_parts(site, seen)
            seen["found"] = _found(site, parts, parts[0].shape[-1] ** -0.5, forward(), edit)
        return seen["found"]

    def replace_part(of_text: bool) -> Callable[..., tuple[Any, ...] | None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            count = args[0].shape[1]
            taken = slice(0, count) if of_text else slice(-count, None)
            return (_put(found(), args[0], taken), *args[1:]) if found() else None

        return hook

    def replace_whole(module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        return _put(found(), output) if found() else None

    names = ["norm_q", "norm_k", "to_v"] + (["norm_added_q", "norm_added_k", "add_v_proj"] if two_streams else [])
    hooks = [layer.register_forward_pre_hook(begin, with_kwargs=True)]
    hooks += [_keep(getattr(layer, name), name, seen) for name in names]
    if not two_streams:
        return [*hooks, layer.register_forward_hook(replace_whole)]
    parts = ((layer.to_out[0], False), (layer.to_add_out, True))
    return hooks + [module.register_forward_pre_hook(replace_part(of_text)) for module, of_text in parts]


def _joint_parts(site: AttentionSite, seen: Mapping[str, Any]) -> list[Tensor]:
    """Queries, keys and values (B, heads, n, d) of text and picture."""
    parts = {name: value for name, value in seen.items() if isinstance(value, Tensor)}
    turnable = {"q": "norm_q", "k": "norm_k", "text_q": "norm_added_q", "text_k": "norm_added_k"}
    rows = {short: parts[name] for short, name in turnable.items() if name in parts}
    query, key = (turned(rows, name, seen["rotation"]) for name in ("q", "k"))  # (B, heads, n, d)
    values = [parts[name].unflatten(-1, (site.heads, -1)) for name in ("add_v_proj", "to_v") if name in parts]
    return [query, key, torch.cat(values, dim=1).transpose(1, 2)]


Found = list[tuple[Tensor, EditedOutput]]
"""Rows (B,) bool of a pass, and another output of them."""


def _found(
    site: AttentionSite,
    parts: Sequence[Tensor],
    scale: float,
    running: Forward,
    edit: AttentionEdit,
    sources: Sequence[Tensor] = (),
) -> Found:
    """What an edit makes of the rows with and without the positive conditioning."""
    found: Found = []
    for said in (False, True):
        rows = torch.tensor([conditional is said for conditional in running.conditional])
        if not bool(rows.any()):
            continue
        query, key, value = (part[rows] for part in parts)
        if said and site.kind == "cross":  # of a repeated context the first copy, as taps
            key, value = key[:, :, : running.text_length], value[:, :, : running.text_length]
        computed_from = None
        if sources:
            of_query, of_key, of_value = (source[rows] for source in sources)
            computed_from = of_query, of_key[:, : key.shape[2]], of_value[:, : key.shape[2]]
        grid = site.grid(running.latent_size)
        joint = site.kind == "joint"
        call = AttentionCall(
            site,
            query,
            key,
            scale,
            grid,
            (said,) * len(query),
            running.timestep,
            view="self" if joint else None,
            columns=slice(key.shape[2] - grid[0] * grid[1], key.shape[2]) if joint else None,
        )
        text = None if call.columns is None else slice(0, call.columns.start)
        output = edit(AttentionInputs(call, value, computed_from, text))
        if output is not None:
            found.append((rows, EditedOutput.of(output)))
    return found


def _put(found: Found, output: Tensor, taken: slice | None = None) -> Tensor:
    """An output (B, N, heads * d) with what was found in its rows; ``taken`` are the N of all that were edited."""
    result = output.clone()
    for rows, edited_rows in found:
        part = edited_rows.heads if taken is None else edited_rows.heads[:, :, taken]
        result[rows] = part.transpose(1, 2).flatten(2).to(output.dtype)
    return result


def _keep(
    module: nn.Module, name: str, seen: dict[str, Any], sources: dict[str, Tensor] | None = None
) -> RemovableHandle:
    """A hook that keeps what a module gives and, in ``sources``, what it was given."""

    def hook(module: nn.Module, args: Any, output: Tensor) -> None:
        seen[name] = output
        if sources is not None:
            sources[name] = args[0]

    return module.register_forward_hook(hook)
