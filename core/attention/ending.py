"""Passes of which only the attention is wanted: they end where the last layer that is read has been read."""

from contextlib import suppress
from typing import NoReturn

from torch import Tensor

from ..backbone import (
    AttentionCall,
    AttentionEdit,
    AttentionInputs,
    AttentionSite,
    Backbone,
    Conditioning,
    EditedOutput,
)


class PassEnded(BaseException):
    """Ends a pass of a denoiser from inside. Like a cancelled task it is no error, so that no one who handles errors
    takes it for one."""


def run_to(
    backbone: Backbone,
    last: AttentionSite,
    latent: Tensor,
    timestep: Tensor,
    conditioning: Conditioning,
    edit: AttentionEdit | None = None,
) -> None:
    """As ``predict_noise``, without its result: the pass ends when all other taps of ``last`` have been called, or,
    with an edit, behind its call in ``last``.

    Args:
        backbone: whose taps are set already.
        last: the last of the layers that they read. A pass in which it is not read runs to its end.
        latent: (B, C, h, w).
        timestep: (B,) long.
        conditioning: B rows.
        edit: of the attention in this pass. Taps of a layer are called before its edit.
    """
    ending = backbone.tap_attention(_end, [last]) if edit is None else backbone.edit_attention(_ending(edit, last))
    with suppress(PassEnded), ending:
        backbone.predict_noise(latent, timestep, conditioning)


def _end(call: AttentionCall) -> NoReturn:
    raise PassEnded


def _ending(edit: AttentionEdit, last: AttentionSite) -> AttentionEdit:
    def edited(inputs: AttentionInputs) -> Tensor | EditedOutput | None:
        found = edit(inputs)
        if inputs.call.site == last:
            raise PassEnded
        return found

    return edited
