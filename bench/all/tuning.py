"""What is run of ``bench data``, ``bench entangle``, ``bench surgery`` and ``bench weights``."""

SURGERY = {"probes": 4, "vectors": 8, "audit": 4, "calibrated": 4, "heads": 4, "skills": 10}
"""Parts of ``bench surgery`` with their cases, the quick ones first."""

TUNED = {
    "data.json": "data --split test --cases 4 --controls 2",
    "data_captions.json": "data --split test --cases 4 --against captions",
    "data_folders.json": "data --split test --cases 10 --folders",
    "data_folders_captions.json": "data --split test --cases 10 --folders --against captions",
    "entangle.json": "entangle --split test --cases 4 --pictures 1 --steps 40",
    "entangle_planted.json": "entangle --split test --cases 4 --steps 240",
    **{f"surgery/{name}.json": f"surgery --split test --part {name} --cases {n}" for name, n in SURGERY.items()},
    "weights.json": "weights --split test --cases 4 --steps 60",
}
