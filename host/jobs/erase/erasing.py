"""What training an erasure needs of a host: progress with pictures of an erased and a kept prompt, and cancel."""

from collections.abc import Callable, Sequence

import torch
from PIL.Image import Image

from ....core.backbone import Backbone, Placeholders
from ....core.erase.parts.task import SoFar
from ....core.sampling import draw_each
from ...files.images import to_pil
from ...shared.progress import start_progress
from ..learn.token_previews import STEPS, captioned, side_by_side


class ErasureReporter:
    """A callback that shows every update, draws with the change so far every so many (0: never) and stops a cancelled
    run.

    Args:
        backbone: the model.
        texts: what is drawn, a picture each.
        side: of the pictures, in pixels.
        every: updates between two previews.
        node_id: the node that works.
        placeholders: learnt tokens that the texts may name.

    Attributes:
        preview: the last picture that was drawn, None before the first.
    """

    def __init__(
        self,
        backbone: Backbone,
        texts: Sequence[str],
        side: int,
        every: int,
        node_id: str | None,
        placeholders: Placeholders | None = None,
    ) -> None:
        self.preview: Image | None = None
        self._backbone, self._texts, self._side, self._every = backbone, list(texts), side, every
        self._placeholders, self._progress = placeholders, start_progress(node_id)

    def __call__(self, step: int, total: int, loss: float, change: Callable[[], SoFar]) -> None:
        due = self._every > 0 and (step % self._every == 0 or step == total)
        if due:
            self.preview = self._draw(change(), f"step {step} of {total}")
        self._progress(step, total, self.preview if due else None)

    @torch.no_grad()
    def _draw(self, change: SoFar, said: str) -> Image:
        backbone = self._backbone
        texts = [f"a photo of {text}" for text in self._texts]
        cells = max(1, self._side // backbone.latent_downscale)
        with change.in_force(backbone):
            latents = draw_each(backbone, texts, (cells, cells), self._placeholders, steps=STEPS)
        pictures = [to_pil(picture.movedim(0, -1)) for picture in backbone.decode_latent(latents)]
        return captioned(side_by_side(pictures), self._texts, said)
