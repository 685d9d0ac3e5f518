"""Skills of toy models: known answers of localising, stitching, comparing and files."""

import weakref
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.core.surgery.methods.dataless import DatalessSettings, rounding_of
from concept_atelier.core.surgery.overlap import compare, densities
from concept_atelier.core.surgery.ranks import cut_of
from concept_atelier.core.surgery.registry import METHODS, RULES
from concept_atelier.core.surgery.skill import Skill, part_of
from concept_atelier.core.surgery.skill_files import load_skill, skill_tensors
from concept_atelier.core.surgery.sparse import SparseChange, in_rows, rows_of, together
from concept_atelier.core.surgery.stitcher import stitch

LOCALISE = METHODS["dataless"].localise


@pytest.fixture
def base(generator):
    sizes = {"a.weight": (30, 20), "b.weight": (8, 4, 3, 3), "b.bias": (8,), "same": (5, 5)}
    return {name: torch.randn(size, generator=generator) for name, size in sizes.items()}


def tuned_of(base, seed=1, step=0.5):
    """Moved, and shrunk a little, so that not every difference is one that float32 holds exactly."""
    made = torch.Generator().manual_seed(seed)
    return {
        name: weight if name == "same" else (1 - step) * weight + step * torch.randn(weight.shape, generator=made)
        for name, weight in base.items()
    }


def applied(base, skill, strength=1.0):
    return {
        name: skill.changes[name].added_to(weight, strength) if name in skill.changes else weight
        for name, weight in base.items()
    }


def skill_of(index, values, size=(2, 5), name="w"):
    change = SparseChange(torch.tensor(index, dtype=torch.int32), torch.tensor(values), size)
    return Skill({name: change}, {name: size[0] * size[1]}, "lab")


@pytest.mark.parametrize("keep", [0, 1, 7, 500, 999, 1000, 2000])
def test_a_cut_over_parts_takes_exactly_the_greatest(generator, keep):
    scores = torch.randn(1000, generator=generator).abs() * torch.logspace(-6, 6, 1000)
    parts = list(scores.split(300))
    cut = cut_of(lambda: parts, keep)
    threshold = cut.threshold
    chosen = torch.cat([cut.choose(part) for part in parts])
    expected = torch.zeros(1000, dtype=torch.bool)
    expected[scores.topk(min(keep, 1000)).indices] = True
    assert torch.equal(chosen, expected)
    if 0 < keep <= 999:
        assert abs(threshold / float(scores.topk(keep).values[-1]) - 1) < 0.005


def test_of_equal_scores_the_first_are_taken_and_zeros_never():
    parts = [torch.tensor([1.0, 2.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 3.0])]
    cut = cut_of(lambda: parts, 4)
    assert [cut.choose(part).tolist() for part in parts] == [[True, True, False, True], [False, False, True]]
    everything = cut_of(lambda: parts, 7)
    assert sum(int(everything.choose(part).sum()) for part in parts) == 5


@pytest.mark.parametrize("scope", ["global", "layer", "relative"])
def test_the_whole_change_is_the_fine_tune_bit_for_bit_and_none_of_it_the_base(base, scope):
    tuned = tuned_of(base)
    whole = LOCALISE(base, tuned, "lab", DatalessSettings(1.0, scope))
    assert all(torch.equal(weight, tuned[name]) for name, weight in applied(base, whole).items())
    assert any(change.values.dtype == torch.float64 for change in whole.changes.values())
    none = LOCALISE(base, tuned, "lab", DatalessSettings(0.0, scope))
    assert not len(none) and none.share == 0


class ReadWhenAsked(Mapping):
    """Weights that are read anew each time, and how many of them were in memory at once at most."""

    def __init__(self, weights):
        self.weights, self.alive, self.most = weights, 0, 0

    def __getitem__(self, name):
        found = self.weights[name].clone()
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(found, self.forget)
        return found

    def forget(self):
        self.alive -= 1

    def __iter__(self):
        return iter(self.weights)

    def __len__(self):
        return len(self.weights)


@pytest.mark.parametrize("scope", ["global", "layer", "relative"])
def test_no_more_than_a_weight_and_the_one_before_it_are_in_memory(generator, scope):
    base = {f"{number}.weight": torch.randn(10, 10, generator=generator) for number in range(12)}
    models = [ReadWhenAsked(base), ReadWhenAsked({name: weight + 1 for name, weight in base.items()})]
    LOCALISE(*models, "lab", DatalessSettings(0.5, scope))
    assert all(1 <= model.most <= 2 for model in models)


def test_a_fine_tune_in_float16_comes_back_bit_for_bit(base):
    half = {name: weight.half() for name, weight in base.items()}
    tuned = {name: weight.half() for name, weight in tuned_of(base, step=0.01).items()}
    whole = LOCALISE(half, tuned, "lab", DatalessSettings(1.0))
    assert all(torch.equal(weight, tuned[name]) for name, weight in applied(half, whole).items())
    assert all(change.values.dtype == torch.float32 for change in whole.changes.values())


def test_the_share_is_kept_by_each_scope(base):
    tuned = tuned_of(base)
    tuned["b.bias"] = base["b.bias"] + 100
    by_scope = {s: LOCALISE(base, tuned, "lab", DatalessSettings(0.25, s)) for s in ("global", "layer", "relative")}
    count = 600 + 288 + 8
    assert len(by_scope["global"]) == len(by_scope["relative"]) == round(0.25 * count)
    assert len(by_scope["global"].changes["b.bias"]) == 8
    assert {name: len(one) for name, one in by_scope["layer"].changes.items()} == {
        "a.weight": 150,
        "b.weight": 72,
        "b.bias": 2,
    }
    assert by_scope["global"].share == pytest.approx(0.25)
    assert "same" not in by_scope["global"].sizes


def test_rounding_is_left_out(base):
    """A fine-tune saved in float16 of a base in float32 differs everywhere, and truly only where it was moved."""
    tuned = {name: weight.half() for name, weight in base.items()}
    tuned["a.weight"][3, :10] += 1
    assert rounding_of(tuned["a.weight"].float()) == 2**-11 and rounding_of(base["a.weight"]) == 0
    found = LOCALISE(base, tuned, "lab", DatalessSettings(0.5))
    assert {name: one.index.tolist() for name, one in found.changes.items()} == {"a.weight": list(range(60, 70))}
    noisy = LOCALISE(base, tuned, "lab", DatalessSettings(0.5, mask_noise=False))
    assert len(noisy) > 300


def test_models_that_do_not_fit_are_refused(base):
    with pytest.raises(ValueError, match="same weights"):
        LOCALISE(base, dict(base), "lab")
    with pytest.raises(ValueError, match="only one of them has same"):
        LOCALISE(base, {name: weight for name, weight in base.items() if name != "same"}, "lab")
    with pytest.raises(ValueError, match="a.weight is"):
        LOCALISE(base, {**base, "a.weight": torch.zeros(2, 2)}, "lab")
    with pytest.raises(ValueError, match="NaN"):
        LOCALISE(base, {**base, "b.bias": torch.full((8,), torch.nan)}, "lab")


@pytest.mark.parametrize("rule", RULES)
def test_disjoint_skills_stitched_are_their_sum_by_every_rule(rule):
    one, other = skill_of([0, 3], [1.0, -2.0]), skill_of([1, 9], [4.0, 8.0])
    made = stitch([one, other], [1.0, 0.5], RULES[rule])
    assert made.changes["w"].dense().flatten().tolist() == [1, 2, 0, -2, 0, 0, 0, 0, 0, 4]


OVERLAPPING = {
    "average": [1.0, 0.5, 5.0],
    "largest": [1.0, -3.0, 6.0],
    "sign_vote": [1.0, 4.0, 5.0],
    "priority": [1.0, 4.0, 4.0],
    "sum": [1.0, 1.0, 10.0],
}


@pytest.mark.parametrize("rule", RULES)
def test_overlaps_by_every_rule(rule):
    one, other = skill_of([0, 1, 2], [1.0, 4.0, 4.0]), skill_of([1, 2], [-3.0, 6.0])
    if rule == "largest":
        other = skill_of([1, 2], [-3.0, 6.0])
        one = skill_of([0, 1, 2], [1.0, 2.0, 4.0])
    made = stitch([one, other], [1.0, 1.0], RULES[rule])
    assert made.changes["w"].values.tolist() == OVERLAPPING[rule] and made.changes["w"].index.tolist() == [0, 1, 2]


def test_one_skill_stitched_is_itself_and_strength_0_is_not_there():
    one, other = skill_of([0, 1], [1.0, 4.0]), skill_of([1], [-3.0])
    made = stitch([one, other], [1.0, 0.0], RULES["average"])
    assert torch.equal(made.changes["w"].values, one.changes["w"].values)
    with pytest.raises(ValueError, match="strength 0"):
        stitch([one], [0.0], RULES["average"])


def test_rows_of_a_weight_are_taken_out_and_put_together_again():
    change = skill_of([1, 5, 8, 14], [1.0, 2.0, 3.0, 4.0], (3, 5)).changes["w"]
    middle = rows_of(change, 1, 1)
    assert middle.dense().tolist() == change.dense()[1:2].tolist() and middle.size == (1, 5)
    ends = [in_rows(rows_of(change, first, 1), first, (3, 5)) for first in (2, 0)]
    whole = together([in_rows(middle, 1, (3, 5)), *ends]).checked()
    assert whole.index.tolist() == [1, 5, 8, 14] and torch.equal(whole.dense(), change.dense())


def test_parts_of_a_skill():
    one, other = skill_of([0, 1, 2], [1.0, 2.0, 3.0]), skill_of([1, 5], [9.0, 9.0])
    assert part_of(one, other, shared=True).changes["w"].index.tolist() == [1]
    assert part_of(one, other, shared=False).changes["w"].values.tolist() == [1.0, 3.0]
    with pytest.raises(ValueError, match="every position"):
        part_of(one, one, shared=False)
    with pytest.raises(ValueError, match="share no position"):
        part_of(one, skill_of([7], [1.0]), shared=True)


def test_overlap_of_two_skills_by_hand():
    one, other = skill_of([0, 1, 2, 3], [1.0, 2.0, -1.0, 6.0]), skill_of([1, 2], [4.0, 1.0])
    (found,) = compare(["A", "B"], [one, other])
    assert (found.shared, found.opposite, found.inside) == (2, 1, 1.0)
    assert found.expected == pytest.approx(4 * 2 / 10) and found.chance == pytest.approx(0.4)
    assert found.conflict == pytest.approx(1 / 5)
    assert found.cosine == pytest.approx((8 - 1) / (42 * 17) ** 0.5)
    assert found.same_inputs == pytest.approx(7 / (42 * 17) ** 0.5)  # both lie in one row
    assert not found.fights and "sum in Stitch Skills" in found.advice
    fight, little = replace(found, same_inputs=0.5), replace(found, same_inputs=0.5, conflict=0.05)
    assert fight.fights and fight.verdict == "they will fight" and "priority in Stitch Skills" in fight.advice
    assert not little.fights and little.advice.endswith("Look for what is lost.")


def test_changes_that_answer_to_other_inputs_can_be_added(generator):
    """Two of rank one: every parameter changes in both, half of them in opposite directions."""

    def answering_to(direction):
        change = torch.outer(torch.randn(12, generator=generator), direction)
        return skill_of(list(range(12 * 8)), change.flatten().tolist(), (12, 8))

    along, across = torch.ones(8), torch.tensor([1.0, -1.0]).repeat(4)
    (apart,) = compare(["A", "B"], [answering_to(along), answering_to(across)])
    (same,) = compare(["A", "B"], [answering_to(along), answering_to(along)])
    assert apart.same_inputs == pytest.approx(0, abs=1e-6) and apart.conflict > 0.1
    assert apart.verdict == "no fight, since they respond to different inputs" and not apart.fights
    assert same.same_inputs == pytest.approx(1, abs=0.02) and same.verdict != apart.verdict


def test_random_masks_overlap_at_the_chance_level(generator):
    def random_skill():
        chosen = torch.rand(10_000, generator=generator) < 0.1
        values = torch.randn(int(chosen.sum()), generator=generator)
        return skill_of(chosen.nonzero()[:, 0].tolist(), values.tolist(), (100, 100))

    (found,) = compare(["A", "B"], [random_skill(), random_skill()])
    assert found.inside == pytest.approx(found.chance, abs=0.03) and abs(found.opposite_share - 0.5) < 0.15


def test_densities_by_block():
    one = skill_of([0, 1], [1.0, 1.0], name="down_blocks.0.attentions.0.proj.weight")
    other = skill_of([0], [1.0], name="text_encoders.clip_l.encoder.layers.0.mlp.fc1.weight")
    assert densities([one, other]) == {"clip_l": [0.0, 0.1], "down_blocks.0": [0.2, 0.0]}


@pytest.mark.parametrize("precision", ["float16", "exact"])
def test_files_bring_a_skill_back(tmp_path, base, precision):
    skill = LOCALISE(base, tuned_of(base, step=1e-6), "lab", DatalessSettings(0.3), fingerprint="[1.0]")
    path = tmp_path / "skill.safetensors"
    save_tensors(path, *skill_tensors(skill, precision))
    again = load_skill(path)
    assert (again.family, again.base, dict(again.sizes)) == ("lab", "[1.0]", dict(skill.sizes))
    assert again.metadata == skill.metadata
    for name, change in skill.changes.items():
        assert torch.equal(again.changes[name].index, change.index)
        rtol = 0.0 if precision == "exact" else 1e-3
        torch.testing.assert_close(again.changes[name].values, change.values.float(), rtol=rtol, atol=0)


def test_files_of_another_kind_and_damaged_ones_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"w": torch.zeros(2)})
    with pytest.raises(ValueError, match="no skill of this pack"):
        load_skill(path)
    tensors, metadata = skill_tensors(skill_of([0, 3], [1.0, 2.0]))
    save_tensors(path, {**tensors, "w.index": torch.tensor([0, 99], dtype=torch.int32)}, metadata)
    with pytest.raises(ValueError, match="damaged"):
        load_skill(path)
    save_tensors(path, {"w.values": tensors["w.values"]}, metadata)
    with pytest.raises(ValueError, match="damaged"):
        load_skill(path)
