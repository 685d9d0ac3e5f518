"""What the layers read by which text enters a transformer: closed-form erasing solves for these vectors.

Between a conditioning and that layer lies whatever a family puts there: a norm (Qwen-Image, Z-Image), a fusion of
layers (Krea 2), an adapter (Anima), padding (FLUX.2). So the transformer itself is run on a small latent up to its
text entry, and what arrives there is noted. None of its blocks is needed, or one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Conditioning
from ...shared.families import FAMILIES
from .passes import TransformerDenoiser, model_inputs
from .sites import EntryRole, rows_of, transformer_entries

CELLS = 4
"""Side of the latent that the transformer is run on."""


def small_latent(patcher: Any) -> Tensor:
    """An empty latent (1, C, h, w) of a MODEL."""
    return torch.zeros(1, int(patcher.model.latent_format.latent_channels), CELLS, CELLS)


@dataclass(frozen=True, eq=False)
class EntryRows:
    """What arrives where text enters.

    Attributes:
        rows: (1, L, D), a row for each of the conditioning, those of Anima for each token of T5.
        pooled: (1, P), the pooled text; None for families without a layer that reads it.
    """

    rows: Tensor
    pooled: Tensor | None


class _ReadError(Exception):
    """Ends a pass whose rest is not needed."""


@torch.no_grad()
def read_entry(patcher: Any, family_name: str, conditioning: Conditioning) -> EntryRows:
    """What the layers read of a conditioning of one row.

    Args:
        patcher: the MODEL, in memory.
        family_name: its family.
        conditioning: of one text.
    """
    family, model = FAMILIES[family_name], patcher.model
    denoiser = patcher.get_model_object("diffusion_model")
    entries = transformer_entries(family, denoiser)
    first = {role: name.removesuffix(".weight") for name, (_, role) in reversed(entries.items())}
    last = first.get("text") or first["key"]
    latent = small_latent(patcher).to(patcher.load_device)
    context = model_inputs(model, latent, conditioning)["c_crossattn"].shape[1]
    place = rows_of(family, denoiser, (CELLS, CELLS), context, conditioning.context.shape[1]).context
    with _noted(denoiser, first, last) as found, suppress(_ReadError):
        sigma = torch.full((1,), 0.5, device=patcher.load_device)
        options = patcher.model_options.get("transformer_options", {}) | {"cond_or_uncond": [0], "sigmas": sigma}
        TransformerDenoiser(patcher, family_name).apply(patcher, latent, sigma, conditioning, options)
    return EntryRows(found[last][:, place].float(), found[first["pooled"]].float() if "pooled" in first else None)


@contextmanager
def _noted(denoiser: Any, layers: Mapping[EntryRole, str], last: str) -> Iterator[dict[str, Tensor]]:
    """Within the context, note what the layers are given, and end the pass at the last of them."""
    found: dict[str, Tensor] = {}

    def note(path: str) -> Any:
        def hook(module: Any, given: tuple[Tensor, ...]) -> None:
            found[path] = given[0]
            if path == last:
                raise _ReadError

        return hook

    paths = {path for role, path in layers.items() if role != "value"}
    handles = [denoiser.get_submodule(path).register_forward_pre_hook(note(path)) for path in paths]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
