"""The commands of ``bench data``, ``bench entangle`` and ``bench weights``."""

DATA = {
    "data.json": "data --split test --cases 4 --controls 2",
    "data_captions.json": "data --split test --cases 4 --against captions",
    "data_folders.json": "data --split test --cases 10 --folders",
    "data_folders_captions.json": "data --split test --cases 10 --folders --against captions",
    "entangle.json": "entangle --split test --cases 4 --pictures 1 --steps 40",
    "entangle_planted.json": "entangle --split test --cases 4 --steps 240",
    "weights.json": "weights --split test --cases 4 --steps 60",
}
