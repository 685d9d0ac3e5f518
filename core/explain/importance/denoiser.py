"""Scores of a denoiser: what its prediction for a picture becomes where queries and keys of one layer are changed."""

import torch
from torch import Tensor

from ...backbone import Backbone, Conditioning
from ...sampling import with_rows
from ...schedule import timestep_of_noise
from ..activations import Origin
from ..parts.changed_attention import attend_changed
from ..recording import find_site, noised_latents
from .head import Head


def denoiser_head(backbone: Backbone, pictures: Tensor, origin: Origin, seed: int = 0, text: str = "") -> Head:
    """How much of a denoiser's prediction stays, for pictures (P, 3, H, W) that were recorded with the same seed.

    Without a text it is one minus the change of the prediction as a share of its length. With a text it is the share
    of what the text adds to the prediction: the part of ``e(text) - e(0)`` that the changed model still predicts, 0
    being the text under which the activations were recorded, mostly the empty one.

    Args:
        origin: of the activations; its site, noise and text are read again.
    """
    site, timestep = find_site(backbone, origin.site), timestep_of_noise(backbone.schedule, origin.noise or 0.0)
    empty, asked = backbone.encode_text([origin.text]), backbone.encode_text([text]) if text else None
    known: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def plain(conditioning: Conditioning, noised: Tensor) -> Tensor:
        times = timestep.to(noised.device).expand(len(noised))
        return backbone.predict_noise(noised, times, with_rows(conditioning, len(noised)))

    @torch.no_grad()
    def begun(picture: int) -> tuple[Tensor, Tensor, Tensor]:
        """The noised latent, what the score counts from, and along which direction."""
        if picture not in known:
            known.clear()
            latent = backbone.encode_image(pictures[picture : picture + 1])
            noised = noised_latents(backbone, latent, timestep, seed + picture)
            before = plain(empty, noised)
            known[picture] = (noised, before, before if asked is None else plain(asked, noised) - before)
        return known[picture]

    def score(picture: int, changes: Tensor) -> Tensor:
        noised, before, direction = begun(picture)
        with backbone.edit_attention(lambda inputs: attend_changed(inputs, changes), [site]):
            found = plain(empty if asked is None else asked, noised.expand(len(changes), -1, -1, -1))
        if asked is None:
            return 1 - (found - before).flatten(1).norm(dim=1) / before.norm().clamp(min=1e-12)
        along = ((found - before) * direction).flatten(1).sum(1)
        return along / direction.square().sum().clamp(min=1e-12)

    if asked is None:
        still = "Without a text the score is at its top where nothing is taken out, so that its gradient says nothing."
        return Head(score, "how much of the model's prediction stays", no_gradient=still)
    return Head(score, f'the share of what "{text}" adds to the prediction')
