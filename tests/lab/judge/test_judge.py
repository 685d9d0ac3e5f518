"""The judge's readings on known answers, and its files."""

import json

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import Judge, Reading, build_network, load_judge, permuted
from concept_atelier.lab.judge.network import JudgeNet
from concept_atelier.lab.world.atlas import load_atlas


class Painted(torch.nn.Module):
    """A network that reads kinds off a picture's red channel: cell value k / 10 is kind k, 0.3 (k = 3) is nothing."""

    def forward(self, picture):
        from concept_atelier.lab.judge.network import Logits

        cells = torch.nn.functional.avg_pool2d((picture[:, 0] + 1) / 2, 8)
        kinds = torch.nn.functional.one_hot((cells * 10).round().long(), 4).movedim(-1, 1).float() * 50
        flat = torch.zeros(len(picture), 2, *cells.shape[-2:])
        return Logits(kinds, flat, flat, kinds)


@pytest.fixture
def judge():
    return Judge(Painted(), ("cat", "dog", "fox"), 0.6, CounterNet(features=4))


@pytest.fixture
def pictures():
    """The first with a big cat and a dog of one cell, the second empty."""
    cells = torch.full((2, 8, 8), 0.3)
    cells[0, :4, :4], cells[0, 5, 5] = 0.0, 0.1
    red = cells.repeat_interleave(8, 1).repeat_interleave(8, 2)
    return red[:, None].expand(2, 3, 64, 64).contiguous()


def test_a_mirrored_picture_is_read_the_same_way_round():
    judge = Judge(build_network().eval(), tuple(kind.name for kind in load_atlas().kinds), 0.5, CounterNet())
    picture = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    plain, mirrored = judge.look(picture), judge.look(picture.flip(3))
    for name in ("objects", "styles", "colours", "features"):
        torch.testing.assert_close(getattr(mirrored, name).flip(3), getattr(plain, name), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(plain.objects.sum(1), torch.ones(1, 8, 12))
    other_way = torch.tensor([1.0, -1.0])[:, None, None]
    torch.testing.assert_close(mirrored.middles.flip(3) * other_way, plain.middles, atol=1e-5, rtol=1e-4)


def test_what_fills_a_neighbourhood_is_found_and_a_lone_cell_is_not(judge, pictures):
    reading = judge.look(pictures)
    assert judge.found(reading) == [frozenset({"cat"}), frozenset()]
    presence = reading.presence()
    assert presence[0].tolist() == pytest.approx([1, 1 / 9, 0], abs=1e-4)


def test_sides_that_do_not_fit_are_filled_up(judge, pictures):
    reading = judge.look(pictures[..., :60, :50])
    assert reading.objects.shape[-2:] == (8, 8)
    assert judge.found(reading)[0] == {"cat"}


def test_style_and_colour_are_read_where_the_object_is():
    objects = torch.zeros(1, 3, 2, 2)
    objects[0, 0, 0, 0] = objects[0, 1, 1, 1] = 1
    styles = torch.zeros(1, 2, 2, 2)
    styles[0, 0], styles[0, 0, 1, 1], styles[0, 1, 1, 1] = 1, 0, 1
    reading = Reading(objects, styles, styles, objects, torch.zeros(1, 2, 2, 2))
    assert reading.style_of(0).tolist() == [[1, 0]] and reading.style_of(1).tolist() == [[0, 1]]
    assert reading.colour_of(1).tolist() == [[0, 1]]


def test_features_are_unit_vectors_of_what_is_weighted(judge, pictures):
    reading = judge.look(pictures)
    assert reading.describe().norm(dim=1)[0].item() == pytest.approx(1)
    weight = torch.zeros(2, 8, 8)
    weight[:, 5, 5] = 1
    assert reading.describe(weight)[0].argmax() == 1
    assert reading.describe()[0].argmax() == 0


def test_permuted_names_leave_none_in_place(judge):
    for seed in range(5):
        other = permuted(judge, seed)
        assert sorted(other.names) == sorted(judge.names)
        assert all(a != b for a, b in zip(other.names, judge.names, strict=True))


def test_an_unknown_name_is_reported(judge):
    with pytest.raises(KeyError, match="does not know 'unicycle'; it knows cat, dog"):
        judge.index("unicycle")


def test_the_network_keeps_shape_on_any_sides_of_multiples_of_16():
    net = JudgeNet(5, 3, 6, widths=(8, 16, 16)).eval()
    logits = net(torch.zeros(2, 3, 48, 80))
    assert logits.objects.shape == (2, 6, 6, 10) and logits.styles.shape == (2, 3, 6, 10)
    assert logits.colours.shape == (2, 7, 6, 10) and logits.features.shape == (2, 16, 6, 10)


@pytest.fixture
def folder(tmp_path):
    save_tensors(tmp_path / "judge.safetensors", build_network().state_dict())
    save_tensors(tmp_path / "counter.safetensors", CounterNet().state_dict())
    names = [kind.name for kind in load_atlas().kinds]
    (tmp_path / "config.json").write_text(json.dumps({"names": names, "threshold": 0.3}))
    return tmp_path


def test_a_judge_of_another_world_is_refused(folder):
    assert load_judge(folder).threshold == 0.3
    (folder / "config.json").write_text(json.dumps({"names": ["cat"], "threshold": 0.3}))
    with pytest.raises(ValueError, match="knows 1 objects, the world has"):
        load_judge(folder)


@pytest.mark.parametrize(
    ("name", "part"), [("judge.safetensors", "judge"), ("config.json", "judge"), ("counter.safetensors", "counter")]
)
def test_a_missing_file_is_named(folder, name, part):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"the {part} is missing: .*{name}.*lab train {part}"):
        load_judge(folder)
