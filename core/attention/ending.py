"""Passes of which only the attention is wanted: they end where the last layer that is read has been read."""

from contextlib import suppress
from typing import NoReturn

from torch import Tensor

from ..backbone import AttentionCall, AttentionSite, Backbone, Conditioning


class PassEnded(BaseException):
    """Ends a pass of a denoiser from inside. Like a cancelled task it is no error, so that no one who handles errors
    takes it for one."""


def run_to(
    backbone: Backbone, last: AttentionSite, latent: Tensor, timestep: Tensor, conditioning: Conditioning
) -> None:
    """As ``predict_noise``, without its result: the pass ends when all other taps of ``last`` have been called.

    Args:
        backbone: whose taps are set already.
        last: the last of the layers that they read. A pass in which it is not read runs to its end.
        latent: (B, C, h, w).
        timestep: (B,) long.
        conditioning: B rows.
    """
    with suppress(PassEnded), backbone.tap_attention(_end, [last]):
        backbone.predict_noise(latent, timestep, conditioning)


def _end(call: AttentionCall) -> NoReturn:
    raise PassEnded
