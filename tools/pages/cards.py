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
from ...lab.model.weights import (
    COUNTER_FILE,
    FILES,
    IMAGE_TOWER_FILE,
    JUDGE_FILE,
    MANTISSA_BITS,
    WEIGHTS,
    load_record,
)
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
            f"A scene shows 1 to 4 of {sum(int(row[1]) for row in rows)} objects in {len(atlas.styles)} styles. Code "
            "draws it from a seed when it is needed: the same seed gives the same picture, caption and ground truth on "
            "every machine. The scenes contain no photographs, no people and no text. They are for training and "
            "testing methods that must be right about masks, names, styles, synonyms and colours; they say nothing "
            "about natural pictures.",
            "## What a scene holds",
            "A scene has a picture (any size; 128x128 by default) and a caption. For each object it has the exact "
            "mask, the name, the word that the caption uses, the style, colour, hand, size and place (`on the left`), "
            "and the share of the object that is not covered. For the whole scene it gives how many objects of a kind "
            "there are and where one object is relative to another (`left of`, `above`). "
            f"Backgrounds have one of {len(COLOURS)} colours and are plain or have one of "
            f"{len(PATTERNS)} patterns ({', '.join(PATTERNS)}). Objects have their own colours or one of "
            f"{len(TINTS)} tints ({', '.join(TINTS)}). Captions open in {len(set(OPENINGS))} ways. Settings of "
            "`SceneSettings` make objects touch (`touching`) or cover one another (`covered`), put two of a kind into "
            "one scene (`alike`), and give each object a colour of its own (`bound`). Seven captions in ten are "
            "complete (place, size, style, background), the others short (`complete`).",
            "## Styles",
            f"The styles are {', '.join(atlas.styles)}. Code (`lab/world/styles.py`) makes them from the icons, and a "
            "person can tell them apart at 48 pixels. *flat* has a few plain colours, *outline* pale fills within dark "
            "contours, *neon* bright contours around a dark body, and *sketch* grey hatching. The three icon sets are "
            "called *hands*. The denoiser "
            f"and the text encoder are trained on the drawings of {TRAINING_HAND}; the other two sets are kept for "
            "testing. (The training of the weights that ship started from weights of an earlier world, which had seen "
            "all three hands and the spare objects: see the model card.)",
            "## Splits",
            table([["split", "objects", "with synonyms", "which"], *rows]),
            f"The remaining {len(atlas.kinds) - sum(int(row[1]) for row in rows)} are *spare*: they appear in no "
            "scene, because at 16x16 cells they are easily mistaken for others.",
            "The splits differ in objects: the denoiser and the text encoder never see objects of *development* and "
            "*test*; the autoencoder and the judge may. They differ in pairs: of the "
            f"{sum(pairs.values())} pairs of training objects, {pairs['development']} are kept for development scenes "
            f"and {pairs['test']} for test scenes, and never appear together in a training scene. They differ in "
            "seeds: no scene belongs to two splits. Settings are tuned on *development*, and figures are reported on "
            "*test*.",
            "## Words",
            f"`tools/build_synonyms.py` takes {words} synonyms of "
            f"{sum(bool(kind.synonyms) for kind in atlas.kinds)} objects from "
            "[WordNet 3.1](https://wordnet.princeton.edu/) (Princeton University; its licence allows use and "
            "redistribution with its notice, which is in `lab/world/LICENSES.md`). A person chose the senses. The "
            "words are WordNet's, including odd ones (*sinker* for a donut).",
            "## Where the icons come from",
            table([["hand", "set", "author", "licence", "version"], *sets]),
            "`tools/build_atlas.py` rasterised the icons, cropped them and scaled them to 128x128. The full licence "
            "texts are in `lab/world/LICENSES.md`. Anyone who shows Twemoji icons must credit them (CC-BY 4.0).",
            "## Limits",
            "Objects are upright icons. Unless `covered` is set, another object covers at most their rim. Their "
            "sizes differ by a factor of two at most. Training shows one icon of each object, in four styles and six "
            "tints, so a model succeeds by memorising it. Tints keep the light and dark areas of the shape: colour and "
            "identity are independent by construction, which they are not in nature.",
        ]
    )


def model_card(folder: Path = WEIGHTS) -> str:
    """The lab model's card, as Markdown; figures of quality stand in docs/results.md, beside their commands."""
    record = load_record(folder)
    files = {
        **FILES,
        "transformer": TRANSFORMER_FILE,
        "image_tower": IMAGE_TOWER_FILE,
        "judge": JUDGE_FILE,
        "counter": COUNTER_FILE,
    }
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
            "The lab model is Stable Diffusion in miniature, trained from scratch on the lab's own scenes and nothing "
            "else ([data card](data-card.md)). Its parts:",
            "- an autoencoder with 4 latent channels at 1/8 of the side;\n"
            f"- a causal CLIP text encoder for 77 tokens, with a vocabulary of {len(load_tokenizer())} pieces;\n"
            f"- a UNet of {widths} channels with self- and cross-attention on three grids and epsilon prediction on "
            "SD1.5's schedule;\n"
            "- a transformer with the architecture of FLUX.1, which reads the same text and latents and learnt from "
            "the UNet;\n"
            "- an image tower, trained contrastively against the text encoder;\n"
            "- a judge, trained separately from all of them;\n"
            "- a counter, which tells things of one kind apart by the judge's features.",
            "The model is for trying workflows without a download and for measuring methods against known ground "
            "truth. It draws emoji-like scenes at 128x128 pixels and nothing else.",
            table([["part", "parameters", "file", "kept in"], *parts]),
            "## Training",
            "The commands are `python -m concept_atelier lab train vae|unet|transformer|tower|judge|counter`; `all` "
            "trains every part except the transformer. The remarks below name the machines. Settings and curves are in "
            "`lab/weights/training.json`.",
            table([["run", "samples", "hours", "last loss", "last evaluation"], *runs]),
            "![How the losses fell](lab/curves.jpg)",
            *[f"*{name}*: {log['remarks']}" for name, log in record.items() if "remarks" in log],
            "## Limits",
            "The model was not trained to convergence. `bench lab` measures what it gets right, for single objects, "
            "pairs, styles and colours (`docs/results.md`, `docs/transformer-results.md`). Weights change with every "
            "version of the lab. The judge makes errors of its own; they are given beside every figure that depends on "
            "it.",
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
