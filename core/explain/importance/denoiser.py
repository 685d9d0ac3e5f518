"""Scores of a denoiser: what its prediction for a picture becomes where queries and keys of one layer are changed."""

import torch
from torch import Tensor

from ...backbone import AttentionInputs, Backbone, Conditioning
from ...compose.parts.regional import attend
from ...sampling import with_rows
from ...schedule import timestep_of_noise
from ..activations import Origin
from ..recording import find_site, noised_picture
from .head import Head


def denoiser_head(backbone: Backbone, pictures: Tensor, origin: Origin, seed: int = 0, text: str = "") -> Head:
    """How much of a denoiser's prediction stays, for pictures (P, 3, H, W) that were recorded with the same seed.

    Without a text it is one minus the change of the prediction as a share of its length. With a text it is the share
    of what the text adds to the prediction: the part of ``e(text) - e("")`` that the changed model still predicts.

    Args:
        origin: of the activations; its site and noise are read again.
    """
    site, timestep = find_site(backbone, origin.site), timestep_of_noise(backbone.schedule, origin.noise or 0.0)
    empty, asked = backbone.encode_text([""]), backbone.encode_text([text]) if text else None
    known: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def plain(picture: int, conditioning: Conditioning, noised: Tensor) -> Tensor:
        times = timestep.to(noised.device).expand(len(noised))
        return backbone.predict_noise(noised, times, with_rows(conditioning, len(noised)))

    @torch.no_grad()
    def begun(picture: int) -> tuple[Tensor, Tensor, Tensor]:
        """The noised latent, what the score counts from, and along which direction."""
        if picture not in known:
            known.clear()
            noised = noised_picture(backbone, pictures[picture : picture + 1], timestep, seed + picture)
            before = plain(picture, empty, noised)
            known[picture] = (noised, before, before if asked is None else plain(picture, asked, noised) - before)
        return known[picture]

    def score(picture: int, changes: Tensor) -> Tensor:
        noised, before, direction = begun(picture)
        edit = _Changed(changes)
        with backbone.edit_attention(edit, [site]):
            found = plain(picture, asked or empty, noised.expand(len(changes), -1, -1, -1))
        if asked is None:
            return 1 - (found - before).flatten(1).norm(dim=1) / before.norm().clamp(min=1e-12)
        along = ((found - before) * direction).flatten(1).sum(1)
        return along / direction.square().sum().clamp(min=1e-12)

    if asked is None:
        still = "Without a text the score is at its top where nothing is taken out, so that its gradient says nothing."
        return Head(score, "how much of the model's prediction stays", no_gradient=still)
    return Head(score, f'the share of what "{text}" adds to the prediction')


class _Changed:
    """An edit that adds changes (n, h * w, 2 * heads * d) to queries and keys."""

    def __init__(self, changes: Tensor) -> None:
        self._changes = changes

    def __call__(self, inputs: AttentionInputs) -> Tensor:
        call = inputs.call
        changes = self._changes.to(call.query)
        query, key = (
            half.unflatten(-1, (call.query.shape[1], -1)).transpose(1, 2) for half in changes.chunk(2, dim=-1)
        )  # (n, heads, h * w, d) each
        if call.columns is not None:  # a joint layer: only the picture's rows were recorded
            query, key = (_placed(half, call.columns, like) for half, like in ((query, call.query), (key, call.key)))
        return attend(call.query + query, call.key + key, inputs.value, call.scale, call.bias)


def _placed(half: Tensor, columns: slice, like: Tensor) -> Tensor:
    """Changes of some rows among zeros, as many as ``like`` has."""
    return torch.nn.functional.pad(half, (0, 0, columns.start, like.shape[2] - columns.stop))
