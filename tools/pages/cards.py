"""Cards of what ships with the lab: the data and the model, written from the files themselves.

``python -m concept_atelier lab page`` writes them beside its page of pictures.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from ...core.files import load_tensors
from ...host.pictures.drawing import plot_curve
from ...lab.model.modules import UNET_CONFIG, load_tokenizer
from ...lab.model.transformer import TRANSFORMER_FILE
from ...lab.model.weights import FILES, IMAGE_TOWER_FILE, JUDGE_FILE, MANTISSA_BITS, WEIGHTS, load_record
from ...lab.world.atlas import OBJECTS_FILE, SPLITS, TRAINING_HAND, load_atlas
from ...lab.world.backgrounds import COLOURS, PATTERNS
from ...lab.world.captions import OPENINGS
from ...lab.world.scene import TINTS, pair_split


def data_card() -> str:
    """The world's data card, as Markdown."""
    atlas = load_atlas()
    world = json.loads(OBJECTS_FILE.read_text(encoding="utf-8"))
    trained = [kind.name for kind in atlas.of_split("train")]
    pairs = Counter(pair_split(a, b) for a, b in combinations(trained, 2))
    rows = [
        [split, str(len(kinds)), str(sum(bool(kind.synonyms) for kind in kinds)), ", ".join(k.name for k in kinds)]
        for split in SPLITS
        for kinds in [atlas.of_split(split)]
    ]
    sets = [
        [f"`{word}`", f"[{entry['title']}]({entry['source']})", entry["author"], entry["license"], entry["version"]]
        for word, entry in world["hands"].items()
    ]
    words = sum(len(kind.synonyms) for kind in atlas.kinds)
    return "\n\n".join(
        [
            "# Data card: the world of the lab",
            "Written by `python -m concept_atelier lab page` from `lab/world/`.",
            f"Scenes of 1 to 4 of {len(atlas.kinds)} objects in {len(atlas.styles)} styles, drawn by code from a seed "
            "when they are needed: the same seed gives the same picture, caption and answers on every machine. There "
            "are no photographs, no people and no text in them. They are for training and testing methods that must "
            "be right about masks, names, styles, synonyms and colours; they say nothing about natural pictures.",
            "## What a scene holds",
            "Picture (any size; 128x128 by default), caption, and of each object the exact mask, name, the word that "
            "the caption uses, style, colour, hand, size, place (`on the left`) and the share that nothing covers; of "
            "the scene, how many of a kind there are and how one object stands to another (`left of`, `above`). "
            f"Grounds: {len(COLOURS)} colours, plain or with one of "
            f"{len(PATTERNS)} patterns ({', '.join(PATTERNS)}). Colours of objects: their own, or one of "
            f"{len(TINTS)} tints ({', '.join(TINTS)}). Captions open in {len(set(OPENINGS))} ways. Objects may be made "
            "to touch (`touching`) or to cover one another (`covered`), two of a kind to stand in one scene (`alike`), "
            "and each to have a colour of its own (`bound`): see `SceneSettings`. Seven captions in ten are complete "
            "(place, size, style, ground), the others short (`complete`).",
            "## Styles",
            f"{', '.join(atlas.styles)}: made by code (`lab/world/styles.py`) from the icons, so that a person "
            "distinguishes them at 48 pixels. *flat* is a few plain colours, *outline* pale fills within dark "
            "contours, *neon* bright contours around a dark body, *sketch* grey hatching. The three icon sets are "
            "*hands*: the denoiser "
            f"and the text encoder are trained on the drawings of {TRAINING_HAND}; the others' are kept to test on. "
            "(The weights that ship began with weights of an earlier world that had seen all three, and the spare "
            "objects: see the model card.)",
            "## Splits",
            table([["split", "objects", "with synonyms", "which"], *rows]),
            f"The remaining {len(atlas.kinds) - sum(int(row[1]) for row in rows)} are *spare*: they stand in no scene, "
            "because at 16x16 cells they are easily taken for others.",
            "By object: the denoiser and the text encoder never see objects of *development* and *test*; the "
            "autoencoder and the judge may. By pair: of the "
            f"{sum(pairs.values())} pairs of training objects, {pairs['development']} are kept for development scenes "
            f"and {pairs['test']} for test scenes, and never stand in one training scene. By seed: splits never share "
            "a scene. Tuning uses development, figures are reported on test.",
            "## Words",
            f"{words} synonyms of {sum(bool(kind.synonyms) for kind in atlas.kinds)} objects come out of "
            "[WordNet 3.1](https://wordnet.princeton.edu/) (Princeton University; its licence allows use and "
            "redistribution with its notice, in `lab/world/LICENSES.md`), by `tools/build_synonyms.py`: a person "
            "chose the senses, the words are WordNet's, odd ones included (*sinker* for a donut).",
            "## Where the icons come from",
            table([["hand", "set", "author", "licence", "version"], *sets]),
            "Rasterised, cropped and scaled to 128x128 by `tools/build_atlas.py`; full texts in "
            "`lab/world/LICENSES.md`. Whoever shows Twemoji icons credits them (CC-BY 4.0).",
            "## Limits",
            "Objects are upright icons. Other objects cover at most their rim, unless `covered` is set, and their "
            "sizes differ by a factor of two at most. Training sees one icon of each object, in four styles and six "
            "tints, so a model that memorises it is right. Tints keep light and dark of the shape: colour and identity "
            "are independent by construction, which they are not in nature.",
        ]
    )


def model_card(folder: Path = WEIGHTS) -> str:
    """The lab model's card, as Markdown; figures of quality stand in docs/results.md, beside their commands."""
    record = load_record(folder)
    files = {**FILES, "transformer": TRANSFORMER_FILE, "image_tower": IMAGE_TOWER_FILE, "judge": JUDGE_FILE}
    files = {part: name for part, name in files.items() if (folder / name).exists()}
    parts = [
        [
            part,
            f"{parameters(folder / name) / 1e6:.2f} M",
            f"{(folder / name).stat().st_size / 1e6:.1f} MB",
            precision(part),
        ]
        for part, name in files.items()
    ]
    runs = [run_row(name, log) for name, log in record.items()]
    widths = " / ".join(str(width) for width in UNET_CONFIG["block_out_channels"])
    return "\n\n".join(
        [
            "# Model card: the lab model",
            "Written by `python -m concept_atelier lab page` from `lab/weights/`.",
            "Stable Diffusion in miniature, trained from scratch on the lab's own scenes and nothing else "
            "([data card](data-card.md)): an autoencoder with 4 latent channels at 1/8 of the side, a causal CLIP text "
            f"encoder of 77 tokens over a vocabulary of {len(load_tokenizer())} pieces, a UNet of {widths} channels "
            "with self- and cross-attention on three grids, epsilon prediction on SD1.5's schedule, a transformer "
            "built as FLUX.1 is, which reads the same text and latents and learnt from the UNet, an image tower "
            "that was trained by contrast against the text encoder, and a judge trained apart from all of them. It is "
            "for trying workflows without a download and for measuring methods against known answers. It draws "
            "emoji-like scenes at 128x128 pixels and nothing else.",
            table([["part", "parameters", "file", "kept in"], *parts]),
            "## Training",
            "`python -m concept_atelier lab train vae|unet|transformer|tower|judge`, or `all` but the transformer; the "
            "remarks below name the machines. Settings and curves are in `lab/weights/training.json`.",
            table([["run", "samples", "hours", "last loss", "last evaluation"], *runs]),
            "![How the losses fell](lab/curves.jpg)",
            *[f"*{name}*: {log['remarks']}" for name, log in record.items() if "remarks" in log],
            "## Limits",
            "It was not trained to convergence. `bench lab` measures what it gets right, for single objects, pairs, "
            "styles and colours (`docs/results.md`, `docs/transformer-results.md`). Weights change with every version "
            "of the lab. The judge makes errors of its own; they stand beside every figure that depends on it.",
        ]
    )


def run_row(name: str, log: Mapping[str, Any]) -> list[str]:
    """One training run in the table."""
    curve = log["curve"]
    losses = [point["loss"] for point in curve if "loss" in point]
    said = [
        ", ".join(f"{key} {value:.3g}" for key, value in point.items() if key not in ("samples", "seconds"))
        for point in curve
        if "loss" not in point and "latent_std" not in point
    ]
    hours = f"{log['seconds'] / 3600:.1f}"
    return [name, f"{log['samples']:,}", hours, f"{losses[-1]:.3g}" if losses else "", said[-1] if said else ""]


def curves(folder: Path = WEIGHTS) -> list[torch.Tensor]:
    """A plot (1, 3, h, w) in 0..1 of the loss of every run."""
    plots = []
    for name, log in load_record(folder).items():
        losses = torch.tensor([point["loss"] for point in log["curve"] if "loss" in point])
        title = f"{name}: loss over {log['samples']:,} samples"
        plots.append(plot_curve(losses, title).movedim(-1, 0)[None])
    return plots


def parameters(path: Path) -> int:
    """How many numbers a file holds."""
    return sum(value.numel() for value in load_tensors(path)[0].values())


def precision(part: str) -> str:
    """How a part's numbers are stored."""
    bits = MANTISSA_BITS.get(part)
    return "float16" if bits is None else f"bfloat16, {bits} bits of mantissa"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table, the first being its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)
