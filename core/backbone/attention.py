"""The attention layers of a model, and what those see that listen to one or change what it gives.

Diffusion transformers put text and picture into one sequence, [text rows, picture rows, rows of reference pictures],
and every row attends to all of them. Such a layer is a ``joint`` site. It is handed out as two views of one softmax:
the picture's rows attending to the text's (``cross``) and to the picture's own (``self``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

AttentionKind = Literal["self", "cross"]
"""What attention reads: the picture (``self``) or the text (``cross``)."""


@dataclass(frozen=True)
class AttentionSite:
    """One attention layer.

    Attributes:
        name: the host's name, unique, stable.
        kind: ``self`` reads the picture, ``cross`` the text, ``joint`` both in one call, as transformers do.
        stage: where it stands in a UNet; None for denoisers without stages.
        heads: number of heads.
        downscale: latent cells per grid cell along a side; its grid is ``ceil(h / downscale), ceil(w / downscale)``.
    """

    name: str
    kind: Literal["self", "cross", "joint"]
    stage: Literal["down", "mid", "up"] | None
    heads: int
    downscale: int

    def reads(self, kind: AttentionKind) -> bool:
        """Whether the layer reads the picture (``self``) or the text (``cross``)."""
        return self.kind in (kind, "joint")

    def grid(self, latent_size: tuple[int, int]) -> tuple[int, int]:
        """Its (h, w) for a latent of (h, w) cells."""
        return -(-latent_size[0] // self.downscale), -(-latent_size[1] // self.downscale)


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """What a tap sees when a site runs. A joint site calls it twice, once for each view of its one softmax.

    Attributes:
        site: the site.
        query: (B, heads, h*w, d), rows of the grid in reading order; part of the graph when gradients are on.
        key: (B, heads, M, d), all keys that the softmax runs over. M is h*w for self and L for cross sites; for joint
            ones it counts text, picture and reference rows.
        scale: factor before the softmax, usually ``d ** -0.5``.
        grid: (h, w) of the queries.
        conditional: for each of the B rows, whether it belongs to the positive conditioning (all True outside
            classifier-free guidance).
        timestep: the current timestep (0 = clean), or None when unknown.
        view: of a joint site, which of its keys are handed out; None otherwise.
        columns: of a joint site, where those keys lie among M: L of them for ``cross``, h*w for ``self``. None is all.
        bias: what the model adds to the logits, broadcast over (B, heads, h*w, M); -inf where a key is not read. None
            for nothing.
    """

    site: AttentionSite
    query: Tensor
    key: Tensor
    scale: float
    grid: tuple[int, int]
    conditional: tuple[bool, ...]
    timestep: float | None = None
    view: AttentionKind | None = None
    columns: slice | None = None
    bias: Tensor | None = None

    @property
    def kind(self) -> AttentionKind:
        """What the keys of this call are: the picture's or the text's. ``ValueError`` for a joint call without view."""
        kind = self.view or self.site.kind
        if kind == "joint":
            raise ValueError(f"the call of the joint site {self.site.name} does not say which keys it hands out")
        return kind


Tap = Callable[[AttentionCall], None]
"""Called when a site runs."""


@dataclass(frozen=True, eq=False)
class AttentionInputs:
    """What an edit of attention sees when a site runs.

    Attributes:
        call: queries and keys of B rows that all belong to the positive conditioning, or all do not. Of a joint site
            all rows of the sequence are queries, ``view`` is ``self``, and ``columns`` says which rows and keys are
            the picture's; those of the text lie before them.
        value: (B, heads, M, d), of the keys.
        sources: what queries (B, N, C), keys and values (B, M, D each) are computed from by one projection each; None
            for joint sites.
        text: of a joint site, which of its rows are those of the conditioning; what else lies before the picture pads
            them. None for other sites.
    """

    call: AttentionCall
    value: Tensor
    sources: tuple[Tensor, Tensor, Tensor] | None = None
    text: slice | None = None

    @property
    def conditional(self) -> bool:
        """Whether the rows belong to the positive conditioning."""
        return self.call.conditional[0]


@dataclass(frozen=True, eq=False)
class EditedOutput:
    """Another output of a site whose projection behind the heads is changed, too.

    Attributes:
        heads: (B, heads, N, d), a row for each query.
        behind: (B, N, C), added to what the projection makes of the heads; None for nothing. Joint sites take none.
    """

    heads: Tensor
    behind: Tensor | None = None

    @classmethod
    def of(cls, output: "Tensor | EditedOutput") -> "EditedOutput":
        """What an edit gave."""
        return output if isinstance(output, cls) else cls(output)  # type: ignore[arg-type]


AttentionEdit = Callable[[AttentionInputs], Tensor | EditedOutput | None]
"""Another output (B, heads, N, d) of a site, a row for each query; None leaves the site's own."""
