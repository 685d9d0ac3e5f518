"""``python tools/same_results.py``: a hash of every kind of result, to show that a change of the code changed none.

It builds one workflow out of what users have saved (node ids and input names), runs it headless on the lab model with
few steps, and prints one line per result. Run it before and after a change, on the same machine and with the same
number of threads, and compare::

    OMP_NUM_THREADS=1 python tools/same_results.py --write before.json
    OMP_NUM_THREADS=1 python tools/same_results.py --compare before.json
"""

import argparse
import hashlib
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "workflows" / "input"
RUNNERS = ("concept_atelier.host.headless.runner", "concept_atelier.host.workflow.runner")
"""Where the runner lives, in the trees that this script has met."""

NODE_LISTS = ("concept_atelier.nodes.headless",)
"""Where the nodes of a headless run are listed; older runners found them by themselves."""

UNWATCHED = ("load", "unwatched", "save")
"""How ids of nodes begin whose outputs are no results."""

Graph = dict[str, dict[str, Any]]
CLASSES = "1=apple, 2=fish"


def main() -> int:
    """Run everything; returns 1 when a result differs from those compared with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="file for the hashes")
    parser.add_argument("--compare", type=Path, help="file with the hashes of another tree")
    args = parser.parse_args()
    started = time.monotonic()
    hashes = run_all()
    for name, value in hashes.items():
        say(f"{value}  {name}")
    say(f"{len(hashes)} results in {time.monotonic() - started:.0f} s")
    if args.write:
        args.write.write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
    return compare(json.loads(args.compare.read_text(encoding="utf-8")), hashes) if args.compare else 0


def run_all() -> dict[str, str]:
    """Result name to its hash."""
    run_workflow, more = find_runner()
    graph = all_nodes()
    with tempfile.TemporaryDirectory() as folder:
        result = run_workflow(graph, out=folder, input=PICTURES, **more)
    watched = [key for key in graph if not key.startswith(UNWATCHED)]
    return {key: digest(result.results[key].outputs) for key in watched}


def compare(before: Mapping[str, str], now: Mapping[str, str]) -> int:
    """Say which results differ; 0 when none does."""
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    say(f"differs: {', '.join(changed)}" if changed else "every result is the same, bit for bit")
    return 1 if changed else 0


def find_runner() -> tuple[Any, dict[str, Any]]:
    """``run_workflow`` of whichever tree is installed, and what it has to be given there."""
    runner = _import_first(RUNNERS)
    if runner is None:
        raise ModuleNotFoundError(f"found no runner: looked for {', '.join(RUNNERS)}")
    named = _import_first(NODE_LISTS)
    return runner.run_workflow, {} if named is None else {"nodes": named.HEADLESS_NODES}


def _import_first(names: Iterable[str]) -> Any:
    """The first of the modules that is there, or None."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
    return None


def all_nodes() -> Graph:
    """The workflow: localise, learn by every method, erase in several ways, watch attention, sample."""
    model = {"model": ["load_model", 0], "clip": ["load_model", 1], "vae": ["load_model", 2]}
    graph: Graph = {"load_model": node("LoadLabModel")}
    for name in ("two_things", "two_things_again"):
        graph[f"load_{name}"] = node("LoadImage", image=f"{name}.png")
    graph |= localising(model) | learning(model) | erasing(model) | attributing()
    return graph


def localising(model: dict[str, Any]) -> Graph:
    """Localise Concepts with every preset, words, masks, edits and matches."""
    first = {**model, "image": ["load_two_things", 0]}
    again = {**model, "image": ["load_two_things_again", 0]}
    return {
        "localize small_grid": node("LocalizeConcepts", **first),
        "localize paper": node("LocalizeConcepts", **first, preset="paper"),
        "localize diffseg": node("LocalizeConcepts", **first, preset="diffseg"),
        "localize two": node("LocalizeConcepts", **first, count=2),
        "localize two again": node("LocalizeConcepts", **again, count=2),
        "localize words": node("LocalizeWords", **first, words="apple, fish"),
        "from masks": node("ConceptsFromMasks", **first, masks=["localize two", 1], names="a, b", target="attention"),
        "edit": node("EditConcepts", concepts=["localize two", 0], rename="1=one"),
        "match": node(
            "MatchConcepts",
            **first,
            concepts=["localize two", 0],
            other_image=["load_two_things_again", 0],
            other_concepts=["localize two again", 0],
        ),
    }


def learning(model: dict[str, Any]) -> Graph:
    """Every method of learning with few steps."""
    more = {"more": ["match", 0]}
    cases: dict[str, dict[str, Any]] = {
        "conceptexpress": {"steps": 4, "start_words": "1=apple"},
        "conceptexpress faithful_lab": {"method": "conceptexpress", "preset": "faithful_lab", "steps": 6, **more},
        "conceptexpress class_weight": {
            "method": "conceptexpress",
            "steps": 2,
            "class_words": CLASSES,
            "class_weight": 0.5,
        },
        "cones": {"steps": 4, **more},
        "break_a_scene": {"steps": 4, **more},
        "break_a_scene start": {"method": "break_a_scene", "steps": 3, "start_words": "2=fish", "flip": 1.0},
        "disendiff": {"steps": 3, "class_words": CLASSES},
        "attencraft": {"steps": 22},
        "far": {"steps": 3, "class_words": CLASSES, **more},
    }
    shared = {
        **model,
        "image": ["load_two_things", 0],
        "concepts": ["localize two", 0],
    }
    made: Graph = {}
    for name, case in cases.items():
        given = {"method": name, **shared, **case}
        made[f"learn {name}"] = node("LearnConceptTokens", **given)
    return made


def erasing(model: dict[str, Any]) -> Graph:
    """Erase Concepts in several ways, and a picture of an erased model."""
    given = {"model": model["model"], "clip": model["clip"]}
    made = {
        "erase small_model": node("EraseConcepts", **given, concepts="cat, dog", preserve="rocket"),
        "erase paper": node("EraseConcepts", **given, concepts="cat", anchors="apple", preset="paper"),
        "erase keys": node("EraseConcepts", **given, concepts="cat", projections="key", damping=2.0, strength=-1.0),
        "erase token": node("EraseConcepts", **given, concepts="<1>", tokens=["learn conceptexpress", 0]),
    }
    for name in list(made):
        made[f"unwatched save of {name}"] = node("SaveErasureAsLora", erasure=[name, 1], name=name.replace(" ", "_"))
    return made | sampling("erased", ["erase small_model", 0])


def attributing() -> Graph:
    """Attention captured while a picture is sampled, its heat maps, and a picture with learnt tokens."""
    made: Graph = {"load_capture": node("CaptureAttention", model=["load_model", 0], least_grid=4)}
    made |= sampling("captured", ["load_capture", 0])
    heat = {"capture": ["load_capture", 1], "clip": ["load_model", 1], "samples": ["sample captured", 0]}
    made["heatmap"] = node("ShowWordHeatmap", **heat, text=PROMPT, words="cat, rocket", image=["decode captured", 0])
    made["heatmap absolute"] = node("ShowWordHeatmap", **heat, text=PROMPT, normalise="absolute", per_cell=False)
    return made | sampling("adapted", ["learn break_a_scene", 2])


PROMPT = "a photo of a cat and a rocket"


def sampling(name: str, model: list[Any]) -> Graph:
    """A small picture: prompts, latent, sampler, decoder."""
    clip = ["load_model", 1]
    return {
        f"load_positive {name}": node("CLIPTextEncode", clip=clip, text=PROMPT),
        f"load_negative {name}": node("CLIPTextEncode", clip=clip, text=""),
        f"load_latent {name}": node("EmptyLatentImage", width=96, height=128, batch_size=2),
        f"sample {name}": node(
            "KSampler",
            model=model,
            seed=7,
            steps=4,
            cfg=4.0,
            sampler_name="euler_ancestral",
            scheduler="normal",
            positive=[f"load_positive {name}", 0],
            negative=[f"load_negative {name}", 0],
            latent_image=[f"load_latent {name}", 0],
            denoise=1.0,
        ),
        f"decode {name}": node("VAEDecode", samples=[f"sample {name}", 0], vae=["load_model", 2]),
        f"save {name}": node("SaveImage", images=[f"decode {name}", 0], filename_prefix=name),
    }


SAVED: dict[str, dict[str, Any]] = {
    "LocalizeConcepts": {
        "preset": "small_grid",
        "min_clusters": 0,
        "saliency_threshold": -1.0,
        "merge_threshold": -1.0,
        "adjacency": True,
        "count": 0,
        "max_concepts": 0,
        "outline": "as preset",
        "neighbour_reach": -1.0,
        "seed": 3,
    },
    "LocalizeWords": {"preset": "small_grid", "margin": -1.0, "fill": False, "seed": 3},
    "ConceptsFromMasks": {"names": "", "target": "attention", "preset": "small_grid", "seed": 3},
    "EditConcepts": {"keep": "", "drop": "", "merge": "", "rename": "", "grow": 0, "add_background": False},
    "MatchConcepts": {"seed": 3},
    "LearnConceptTokens": {
        "preset": "lab",
        "learning_rate": 0.0,
        "attention_weight": -1.0,
        "flip": -1.0,
        "start_words": "",
        "class_words": "",
        "class_weight": -1.0,
        "template": "",
        "preview_every": 0,
        "keep_every": 0,
        "seed": 5,
    },
    "EraseConcepts": {
        "anchors": "",
        "preserve": "",
        "strength": 1.0,
        "preset": "small_model",
        "damping": 0.5,
        "preserve_scale": 1.0,
        "projections": "both",
    },
    "CaptureAttention": {"greatest_grid": 64, "stages": "down and up", "start_percent": 0.0, "end_percent": 1.0},
    "ShowWordHeatmap": {"words": "", "normalise": "relative", "per_cell": True},
}
"""Values of inputs as workflows have them saved; they are written down here, so that no new default hides a change."""

STOCK = ("LoadImage", "SaveImage", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "VAEDecode")


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of an API workflow; our own classes carry the pack's prefix."""
    return {"class_type": kind if kind in STOCK else f"ConceptAtelier{kind}", "inputs": SAVED.get(kind, {}) | inputs}


def digest(outputs: Iterable[Any]) -> str:
    """Twelve hexadecimal digits of all tensors, names and counts in a node's outputs."""
    total = hashlib.sha256()
    for part in parts_of(outputs, ""):
        total.update(part)
    return total.hexdigest()[:12]


COUNTED = ("passes", "updates", "refreshed", "kept", "rank", "composites", "fit_cosine", "concepts")
"""Entries of a result's metadata that tell what happened; the settings among it may gain fields."""


def parts_of(value: Any, name: str) -> Iterable[bytes]:
    """Bytes that identify a value: tensors with shape and type, texts, and what our classes hold of them."""
    if isinstance(value, Tensor):
        yield f"{name} {tuple(value.shape)} {value.dtype}".encode()
        yield value.detach().cpu().contiguous().numpy().tobytes()
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from parts_of(entry, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from parts_of(entry, f"{name}[{index}]")
    elif isinstance(value, str | int | float | bool):
        yield f"{name}={value}".encode()
    else:
        for field in ("masks", "targets", "scores", "names", "vectors", "losses", "adapter", "factors"):
            yield from parts_of(getattr(value, field, ()), f"{name}.{field}")
        for field in ("up", "down", "picture", "concepts", "strength", "family"):
            yield from parts_of(getattr(value, field, ()), f"{name}.{field}")
        metadata = getattr(value, "metadata", {})
        yield from parts_of({key: metadata[key] for key in COUNTED if key in metadata}, f"{name}.metadata")


def say(text: str) -> None:
    """Write a line to the terminal."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
