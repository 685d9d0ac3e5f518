"""``python -m concept_atelier lab page``: docs/lab.md, a page of pictures of the world and of what methods do in it,
and the cards of data and model.

Everything on the page is drawn anew with the model that ships; the same weights give the same page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...bench.all.queue import FOLDER as RESULTS
from ...bench.cases import Case, case_of
from ...bench.drawing import draw
from ...bench.learn.learn import true_concepts
from ...core.backbone import Backbone
from ...core.erase.methods.uce import METHOD as ERASING
from ...core.learn.methods.conceptexpress import METHOD as LEARNING
from ...core.localize.parts.pipeline import localize
from ...core.localize.parts.settings import SMALL_GRID
from ...host.adapters import backbone_of, with_erasure
from ...host.files.saving import atomic_write
from ...host.pictures.concept_pictures import concept_overlay
from ...host.pictures.drawing import overlay_masks
from ...lab.model.handles import load_handles
from ...lab.world.atlas import SPLITS, TRAINING_HAND, load_atlas
from ...lab.world.scene import SceneSettings, sample_scene
from ...training.mixture import MIXTURE, PROMPTS
from .cards import curves, data_card, model_card
from .results import PAGES, with_results
from .sweep_pictures import write_sweeps

DOCS = Path(__file__).parents[2] / "docs"
ERASED = (("cat", "dog"), ("rocket", "airplane"), ("apple", "lemon"))
SCENES = (3, 5, 8, 12)  # seeds of test scenes with two objects; the page picks nothing by its result


@dataclass
class Page:
    """Where the page goes, and the model it is about."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    @cached_property
    def backbone(self) -> Backbone:
        return backbone_of(*load_handles())

    def picture(self, name: str, rows: Sequence[Tensor], said: str) -> None:
        """A sheet of rows of pictures (B, 3, H, W) in 0..1 in the page's folder, and its line in the text."""
        with atomic_write(self.folder / "lab" / f"{name}.jpg") as temporary:
            Image.fromarray(sheet(rows)).save(temporary, "JPEG", quality=88, optimize=True)
        self.lines += [f"![{said}](lab/{name}.jpg)", ""]

    def text(self, *lines: str) -> None:
        """Paragraphs."""
        for line in lines:
            self.lines += [line, ""]


def write_page(folder: Path = DOCS, sections: Sequence[Callable[[Page], None]] | None = None) -> Path:
    """Draw the page into a folder; returns the path of ``lab.md``."""
    page = Page(folder)
    page.text(
        "# The lab",
        "This page is written by `python -m concept_atelier lab page`. Nothing on it was selected by its result.",
    )
    for section in SECTIONS if sections is None else sections:
        section(page)
    return write_text(folder / "lab.md", "\n".join(page.lines))


def write_cards(folder: Path = DOCS) -> None:
    """``data-card.md``, ``model-card.md`` and the picture of the latter, and the tables of :func:`write_tables`."""
    with atomic_write(folder / "lab/curves.jpg") as temporary:
        Image.fromarray(sheet([torch.cat(curves())])).save(temporary, "JPEG", quality=88, optimize=True)
    write_text(folder / "data-card.md", data_card() + "\n")
    write_text(folder / "model-card.md", model_card() + "\n")
    write_tables(folder)


def write_tables(folder: Path = DOCS) -> None:
    """The tables of pages (:data:`PAGES`) that are made from the files of the benches, and the picture of sweeps."""
    write_sweeps(folder, RESULTS)
    for name, parts in PAGES.items():
        write_text(folder / name, with_results((DOCS / name).read_text(encoding="utf-8"), parts=parts))


def write_text(path: Path, text: str) -> Path:
    """Write a text file, atomically; returns its path."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def show_world(page: Page) -> None:
    """Icons, and scenes with their captions."""
    atlas = load_atlas()
    counts = {split: len(atlas.of_split(split)) for split in ("train", "development", "test")}
    page.text(
        "## The world",
        f"The model is trained on {counts['train']} objects. Another {counts['development']} are kept for development "
        f"and {counts['test']} for tests; it never sees these. Each object comes in {len(atlas.styles)} styles "
        f"({', '.join(atlas.styles)}) and from {len(atlas.hands)} icon sets, called *hands* "
        f"({', '.join(atlas.hands)}). The model is trained on {TRAINING_HAND}; the weights that it started from had "
        "seen all of them ([data card](data-card.md)).",
    )
    kinds = [kind.name for split in SPLITS for kind in atlas.of_split(split)]
    page.picture("objects", icons(kinds, [("flat", TRAINING_HAND)]).split(17), "Every object, in flat style")
    looks = [(style, hand) for hand in (TRAINING_HAND, "noto", "twemoji") for style in atlas.styles]
    page.picture("styles", icons(kinds[:14], looks).split(14), "One style in each row, for each of the three hands")
    scenes = [sample_scene("train", seed, SceneSettings(counts=(1, 2, 3, 4))) for seed in range(6)]
    page.picture("scenes", [torch.cat([case_of(scene, 0).picture for scene in scenes])], "Scenes")
    most = max(count for pool, _ in MIXTURE for count in pool.scenes.counts)
    page.text(
        f"Scenes of the training split, with up to four objects; the model was trained on up to {most}. Their "
        "captions, some of them with synonyms from WordNet: "
        + "; ".join(f"“{scene.caption}”" for scene in scenes)
        + "."
    )


def icons(kinds: Sequence[str], looks: Sequence[tuple[str, str]], side: int = 48) -> Tensor:
    """The objects in every look (style, hand) on white, (looks * kinds, 3, side, side) in 0..1."""
    tiles = np.stack([np.array(load_atlas().icon(kind, *look)) for look in looks for kind in kinds])
    pixels = torch.from_numpy(tiles).movedim(-1, 1).float() / 255
    return F.interpolate(pixels[:, :3] * pixels[:, 3:] + 1 - pixels[:, 3:], size=(side, side), mode="area")


def show_prompts(page: Page) -> None:
    """What the model draws."""
    page.text(
        "## What the model draws",
        "One prompt in each column, one seed in each row: " + "; ".join(f"“{p}”" for p in PROMPTS) + ".",
    )
    page.picture("prompts", [draw(page.backbone, PROMPTS, seed) for seed in range(3)], "Pictures of fixed prompts")


def show_masks(page: Page) -> None:
    """Scenes, their true masks, and the concepts found in them."""
    page.text(
        "## Pictures taken apart",
        "From top to bottom: test scenes, their exact masks, and the concepts that Localize Concepts finds.",
    )
    cases = [scene_case(seed) for seed in SCENES]
    true = [overlay_masks(case.picture[0].movedim(0, -1), case.masks, case.names)[None] for case in cases]
    found = [
        concept_overlay(case.picture, localize(page.backbone, case.picture, SMALL_GRID, case.seed)) for case in cases
    ]
    scenes = torch.cat([enlarged(case.picture) for case in cases])
    shown = [torch.cat([enlarged(x.movedim(-1, 1)) for x in overlays]) for overlays in (true, found)]
    page.picture("masks", [scenes, *shown], "Scenes, exact masks, concepts found")


def show_tokens(page: Page) -> None:
    """Scenes and what their learnt tokens draw."""
    page.text(
        "## Tokens learnt from one picture",
        "The scene is on the left. Beside it, each row shows one object's token alone (`a photo of <1>`) with four "
        "seeds; the last row shows all tokens together.",
    )
    for seed in SCENES[:2]:
        case = scene_case(seed)
        concepts, _ = true_concepts(page.backbone, case)
        tokens = LEARNING.learn(page.backbone, case.picture, concepts, LEARNING.preset("small"), seed=seed)
        joint = " and ".join(f"<{name}>" for name in tokens.names)
        rows = [
            torch.cat([case.picture, draw(page.backbone, [f"a photo of {what}"] * 4, seed, tokens.placeholders())])
            for what in (*(f"<{name}>" for name in tokens.names), joint)
        ]
        page.picture(f"tokens_{seed}", rows, f"Tokens of {' and '.join(case.names)}")


def show_erasures(page: Page) -> None:
    """The same seeds before and after an object is erased, and a neighbour that is not on the preserve list."""
    page.text(
        "## Objects erased",
        "Each pair of rows shows the same seeds before and after an object is erased. The four columns on the right "
        "show a neighbour, which was not erased.",
    )
    rows = []
    for gone, kept in ERASED:
        prompts = [f"a photo of a {gone}"] * 4 + [f"a photo of a {kept}"] * 4
        model, clip, vae = load_handles()
        edit = ERASING.erase(page.backbone, [gone], settings=ERASING.preset("small"))
        rows += [draw(b, prompts, 0) for b in (page.backbone, backbone_of(with_erasure(model, edit), clip, vae))]
    page.text("Erased object (and neighbour): " + ", ".join(f"{gone} ({kept})" for gone, kept in ERASED) + ".")
    page.picture("erased", rows, "Before and after erasing")


SECTIONS = (show_world, show_prompts, show_masks, show_tokens, show_erasures)


def scene_case(seed: int) -> Case:
    """A scene of two training objects that training never put together."""
    return case_of(sample_scene("test", seed, SceneSettings(counts=(2,))), seed)


def enlarged(picture: Tensor, side: int = 256) -> Tensor:
    """Pictures (B, 3, H, W) at another size."""
    return F.interpolate(picture, size=(side, side), mode="bilinear", antialias=True)


def sheet(rows: Sequence[Tensor], gap: int = 4) -> np.ndarray:
    """Rows of pictures (B, 3, H, W) in 0..1 as one uint8 (h, w, 3) on white, a shorter row filled up."""
    columns = max(len(row) for row in rows)
    full = [F.pad(row, (0, gap, 0, gap), value=1.0) for row in rows]
    filled = [torch.cat([row, row.new_ones(columns - len(row), *row.shape[1:])]) for row in full]
    joined = torch.cat([torch.cat(list(row), dim=-1) for row in filled], dim=-2)
    return (joined.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
