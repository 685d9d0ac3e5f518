"""How to localise by clustering attention: every setting, and the two presets of ConceptExpress."""

from dataclasses import dataclass
from typing import Literal

from ...messages import shown
from ...settings import Settings
from ...types import Outline

Saliency = Literal["end_of_text", "border", "both", "none"]
Merge = Literal["linked", "background"]
Cluster = Literal["finch", "diffseg"]


@dataclass(frozen=True)
class LocalizeSettings(Settings):
    """Settings of ConceptExpress stage 1; the defaults are the paper's, made for latents of 64x64 cells.

    Attributes:
        timestep: the timestep at which the picture is denoised, 0..T-1.
        noise_draws: number of noisy versions of the picture whose attention is averaged; 0 adds no noise.
        noise: share of noise in them, 0..1, instead of the timestep's, and in at least one; None leaves the timestep.
        layers: names of the attention layers that are read; None reads all.
        prompt: the prompt meanwhile.
        max_cells: largest number of cells of the clustering grid; n cells need n x n distances. Larger latents are
            clustered on a half, a third, ... of their sides, and finer attention grids are left out.
        least_side: self-attention grids with fewer cells along their shorter side are left out (unless all have).
        per_grid: weigh grids alike, however many layers each has, as DiffSeg does; else a grid counts by its layers.
        renormalise: bring resized maps back to a sum of one before they are weighted. The release does not, so that
            a grid of side r weighs 64/r in truth: coarse grids lead. With it, r/64 holds and fine grids lead.
        weight_power: a layer on a grid of side r weighs ``(r / R) ** weight_power``, R the clustering grid's side.
        grid_weights: weights of the grids from the finest to the coarsest instead of the power law; grids beyond the
            end of the tuple are left out. Empty: the power law.
        saliency: what separates objects from background: the end-of-text token's map, the prior that background holds
            the border, the mean of both, or nothing (background becomes concepts too).
        cross_downscale: latent cells per cell of the cross-attention grid that is read; None reads every grid of at
            least ``cross_least_side`` cells along the shorter side, which suits small latents.
        cross_least_side: see ``cross_downscale``.
        sign_test: turn the end-of-text map over when it points to what holds the border.
        neighbour_reach: how far, in cells, rows of attention are evened out among neighbours of like colour before they
            are clustered (:mod:`.neighbours`); 0 leaves them as they are.
        neighbour_contrast: difference of colour (each channel 0..1) up to which neighbours count as alike.
        cluster: how rows become pieces: ``finch`` and then the merging below (the paper), or ``diffseg``
            (:mod:`.diffseg`), which merges by itself: ``merge_threshold`` is its threshold, and ``min_clusters``,
            ``merge``, ``adjacency``, ``single`` and ``count`` play no part.
        min_clusters: pre-clustering stops at the coarsest level with this many.
        saliency_threshold: clusters with a mean saliency of at most this many times the picture's are background.
        merge: what ends the joining of parts into concepts: ``linked``, the longest link of pre-clustering (the paper),
            or ``background``, their distance to the background (:mod:`.merge`).
        merge_threshold: factor on that; smaller gives more concepts.
        adjacency: merge only what touches.
        single: accept a last merge into one concept when cut and adjacency allow it. The release drops it, so that
            one large object comes back in pieces.
        min_area: concepts that cover less than this share of the grid are dropped.
        max_concepts: only the most salient are kept; None keeps all.
        count: wanted number of concepts of at least ``min_area``, the background not among them; None lets the method
            decide.
        outline: how masks are drawn in the picture's size: ``smooth`` from the grid alone (as far as the paper goes),
            ``edges`` along the picture's edges (:mod:`~...masks.guided`).
    """

    timestep: int = 0
    noise_draws: int = 0
    noise: float | None = None
    layers: tuple[str, ...] | None = None
    prompt: str = ""
    max_cells: int = 64 * 96
    least_side: int = 1
    renormalise: bool = False
    per_grid: bool = False
    weight_power: float = 1.0
    grid_weights: tuple[float, ...] = ()
    saliency: Saliency = "end_of_text"
    cross_downscale: int | None = 4
    cross_least_side: int = 8
    sign_test: bool = False
    neighbour_reach: float = 0.0
    neighbour_contrast: float = 0.2
    cluster: Cluster = "finch"
    min_clusters: int = 10
    saliency_threshold: float = 1.0
    merge: Merge = "linked"
    merge_threshold: float = 1.0
    adjacency: bool = True
    single: bool = False
    min_area: float = 0.0
    max_concepts: int | None = None
    count: int | None = None
    outline: Outline = "smooth"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("timestep", "noise_draws", "weight_power", "merge_threshold", "neighbour_reach"):
            self._at_least(name, 0)
        for name in ("max_cells", "least_side", "cross_downscale", "cross_least_side", "min_clusters"):
            self._at_least(name, 1)
        for name in ("max_concepts", "count"):
            self._at_least(name, 1)
        if self.noise is not None and not 0 <= self.noise <= 1:
            raise ValueError(f"noise is a share of noise in the picture, 0..1, got {self.noise}")
        if not 0 <= self.min_area < 1:
            raise ValueError(f"min_area is a share of the picture, 0 to below 1, got {self.min_area}")
        if self.saliency not in ("end_of_text", "border", "both", "none"):
            raise ValueError(f"saliency must be end_of_text, border, both or none, got {shown(self.saliency)}")
        if not self.neighbour_contrast > 0:
            raise ValueError(f"neighbour_contrast must be above 0, got {self.neighbour_contrast}")
        if self.cluster not in ("finch", "diffseg"):
            raise ValueError(f"cluster must be finch or diffseg, got {shown(self.cluster)}")
        if self.merge not in ("linked", "background"):
            raise ValueError(f"merge must be linked or background, got {shown(self.merge)}")
        if self.outline not in ("smooth", "edges"):
            raise ValueError(f"outline must be smooth or edges, got {shown(self.outline)}")
        if self.grid_weights and (min(self.grid_weights) < 0 or max(self.grid_weights) == 0):
            raise ValueError(f"grid_weights must be >= 0 and not all zero, got {self.grid_weights}")

    @property
    def passes(self) -> int:
        """How often the model sees the picture."""
        return max(1, self.noise_draws)

    @property
    def cost(self) -> str:
        """What localising a picture costs, for people."""
        passes = self.passes
        return f"{passes} pass{'es' * (passes > 1)} and clustering"

    def _at_least(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if value is not None and not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")


PAPER = LocalizeSettings()

SMALL_GRID = LocalizeSettings(
    timestep=50,
    noise_draws=8,
    max_cells=32 * 48,
    least_side=4,
    renormalise=True,
    weight_power=0.0,
    saliency="both",
    cross_downscale=None,
    sign_test=True,
    single=True,
    min_clusters=32,
    saliency_threshold=1.7,
    merge="background",
    merge_threshold=0.8,
    min_area=0.02,
    neighbour_reach=1.0,
    outline="edges",
)
