"""From training runs to the folder that ships, and back."""

import json

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import build_network, load_judge
from concept_atelier.lab.model.image_tower import ContrastivePair, load_contrastive_pair
from concept_atelier.lab.model.weights import (
    FILES,
    MANTISSA_BITS,
    RUN_PARTS,
    RUNS,
    load_lab_model,
    pack,
    publish,
    publish_counter,
    rounded,
    split,
    thin,
    with_mantissa,
)
from concept_atelier.lab.world.atlas import load_atlas


@pytest.fixture
def runs(tmp_path, lab_modules):
    """Training runs that ended with random weights."""
    ends = {
        "vae": lab_modules.vae,
        "unet": lab_modules.unet,
        "text_encoder": lab_modules.text_encoder,
        "judge": build_network(),
        "counter": CounterNet(),
    }
    states = {part: module.state_dict() for part, module in ends.items()}
    states["image_tower"] = ContrastivePair(text=lab_modules.text_encoder).tower_state()
    for part, state in states.items():
        save_tensors(tmp_path / "runs" / RUN_PARTS[part], state)
    for run in RUNS:
        curve = [{"samples": i, "loss": 1.0} for i in range(500)] + [{"samples": 500, "psnr": 20.0}]
        log = {"settings": {"seed": 0, "model": lab_modules.vae.config}, "curve": curve}
        (tmp_path / "runs" / run / "log.json").write_text(json.dumps(log))
    names = [kind.name for kind in load_atlas().kinds]
    (tmp_path / "runs/judge/config.json").write_text(json.dumps({"names": names, "threshold": 0.4}))
    return tmp_path / "runs"


def test_what_is_published_is_what_was_trained_in_16_bits(runs, tmp_path, lab_modules):
    publish(runs, tmp_path / "model")
    loaded = load_lab_model(tmp_path / "model")
    for part in FILES:
        before, after = getattr(lab_modules, part).state_dict(), getattr(loaded, part).state_dict()
        assert before.keys() == after.keys()
        kept = rounded(before, MANTISSA_BITS.get(part))
        assert all(torch.equal(after[key], kept[key].float()) for key in before)
        assert not getattr(loaded, part).training
        assert not any(weight.requires_grad for weight in getattr(loaded, part).parameters())


@pytest.mark.parametrize("bits", [3, 4, 7])
def test_few_bits_of_mantissa_lose_little_and_fit_bfloat16(bits):
    values = torch.randn(1000) * 10.0 ** torch.randint(-3, 3, (1000,))
    kept = with_mantissa(values, bits)
    assert ((kept - values).abs() <= values.abs() * 2.0 ** -(bits + 1)).all()
    assert torch.equal(kept.bfloat16().float(), kept) and torch.equal(with_mantissa(kept, bits), kept)
    assert torch.equal(with_mantissa(torch.tensor([0.0, 1.0, -0.5]), bits), torch.tensor([0.0, 1.0, -0.5]))
    low = kept.bfloat16().view(torch.int16) & (2 ** (7 - bits) - 1)
    assert not low.any()  # the bits that are left out are zero, so that they pack


def test_the_image_tower_is_published_with_its_projection(runs, tmp_path):
    publish(runs, tmp_path / "model")
    pair = load_contrastive_pair(tmp_path / "model")
    vectors = pair.encode_image(torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)))
    assert vectors.shape == (2, 192) and torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert not any(weight.requires_grad for weight in pair.parameters())
    (tmp_path / "model/image_tower/model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="lab train tower"):
        load_contrastive_pair(tmp_path / "model")


def test_the_judge_is_published_with_its_threshold(runs, tmp_path):
    publish(runs, tmp_path / "model")
    judge = load_judge(tmp_path / "model/judge")
    assert judge.threshold == 0.4 and not judge.network.training and not judge.counter.training


def test_a_counter_is_published_alone_beside_its_judge(runs, tmp_path):
    publish(runs, tmp_path / "model")
    before = {path: path.read_bytes() for path in (tmp_path / "model").rglob("*.safetensors")}
    torch.manual_seed(1)
    newer = CounterNet().state_dict()
    save_tensors(runs / RUN_PARTS["counter"], newer)
    publish_counter(runs, tmp_path / "model")
    changed = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert changed == ["counter.safetensors"]
    loaded = load_judge(tmp_path / "model/judge").counter.state_dict()
    kept = rounded(newer, MANTISSA_BITS["counter"])
    assert all(torch.equal(loaded[key], kept[key].float()) for key in newer)


def test_the_record_of_training_is_published_with_its_evaluations(runs, tmp_path):
    (runs / "unet/remarks.txt").write_text("batches of 8 at first\n")
    publish(runs, tmp_path / "model")
    record = json.loads((tmp_path / "model/training.json").read_text())
    assert record["unet"]["remarks"] == "batches of 8 at first" and "remarks" not in record["vae"]
    assert record.keys() == {"vae", "unet", "tower", "judge", "counter"}
    assert record["unet"]["curve"][-1] == {"samples": 500, "psnr": 20.0}
    assert len(record["unet"]["curve"]) < 70


@pytest.mark.parametrize(
    "missing", ["vae/vae.safetensors", "tower/log.json", "unet/unet.safetensors", "judge/config.json"]
)
def test_a_run_without_its_end_is_named_and_nothing_is_published(runs, tmp_path, missing):
    (runs / missing).unlink()
    part = missing.split("/")[0]
    with pytest.raises(FileNotFoundError, match=rf"the {part} is not trained: .*{missing}.*lab train {part}"):
        publish(runs, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("part", FILES)
def test_a_model_folder_without_a_part_says_which(runs, tmp_path, part):
    publish(runs, tmp_path / "model")
    (tmp_path / "model" / FILES[part]).unlink()
    with pytest.raises(FileNotFoundError, match=f"the lab model's {part} is missing: .*lab publish"):
        load_lab_model(tmp_path / "model")


def test_a_part_that_was_cut_short_is_refused(runs, tmp_path):
    publish(runs, tmp_path / "model")
    path = tmp_path / "model" / FILES["vae"]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short"):
        load_lab_model(tmp_path / "model")


def test_what_is_packed_into_small_files_is_published_the_same(runs, tmp_path):
    pack(runs, tmp_path / "packed", limit=4 << 20)
    files = list((tmp_path / "packed").rglob("*.safetensors"))
    assert len(files) >= 10
    publish(runs, tmp_path / "whole")
    publish(tmp_path / "packed", tmp_path / "model")
    for name in (*FILES.values(), "judge/judge.safetensors", "image_tower/model.safetensors", "training.json"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lost = next(path for path in files if path.name.startswith("unet-00002"))
    lost.unlink()
    with pytest.raises(FileNotFoundError, match=f"the unet is not trained: .*{lost.name}"):
        publish(tmp_path / "packed", tmp_path / "again")


def test_groups_stay_below_the_limit_and_lose_nothing():
    state = {str(i): torch.zeros(size) for i, size in enumerate((10, 20, 100, 5, 5))}
    groups = split(state, limit=130)
    assert [list(group) for group in groups] == [["0", "1"], ["2"], ["3", "4"]]


def test_a_short_curve_is_kept_whole():
    log = {"settings": {}, "curve": [{"samples": i, "loss": 0.0} for i in range(59)]}
    assert thin(log) == log
