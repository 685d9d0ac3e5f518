"""What ``bench match`` pairs, on a model that knows nothing and on known answers."""

import json

import pytest
import torch

from concept_atelier.bench.command import load_backbone
from concept_atelier.bench.harness import Request, run
from concept_atelier.bench.localize import match
from concept_atelier.lab.world.atlas import load_atlas


def test_pictures_show_the_same_objects_in_another_order_and_style():
    pairs = [match.scene_pair("development", seed, 3, same_style=False) for seed in range(6)]
    for first, second in pairs:
        assert sorted(first.concepts.names) == sorted(second.concepts.names)
        assert not torch.equal(first.picture, second.picture)
        assert set(first.concepts.names) <= {kind.name for kind in load_atlas().of_split("train")}
    assert any(first.concepts.names != second.concepts.names for first, second in pairs)


def test_the_style_is_kept_if_asked():
    """Colours of an object stay where its style does; before a plain background both differ by little."""

    def apart(same_style):
        return torch.stack([colour_distance(seed, same_style) for seed in range(6)]).mean()

    assert apart(True) < 0.5 * apart(False)


def colour_distance(seed, same_style):
    first, second = match.scene_pair("development", seed, 2, same_style=same_style)
    order = [second.concepts.names.index(name) for name in first.concepts.names]
    return (match.mean_colours(first) - match.mean_colours(second)[order]).norm(dim=1).mean()


def test_the_mean_colour_is_that_inside_the_mask():
    first, _ = match.scene_pair("development", 0, 2, same_style=True)
    mask = first.concepts.masks[1].repeat_interleave(8, 0).repeat_interleave(8, 1) > 0
    torch.testing.assert_close(match.mean_colours(first)[1], first.picture[0, :, mask].mean(1))


def test_a_row_counts_those_paired_with_their_own_object(untrained, monkeypatch):
    real = match.match

    def wrong(backbone, first, second, seed):
        """As the first pair swapped."""
        found = real(backbone, first, second, seed)
        names = list(first.concepts.names)
        return type(found)(found.source, found.cosines, (names[1], names[0], *names[2:]))

    monkeypatch.setattr(match, "match", wrong)
    row = match.measure(untrained, Request(3), 1)
    assert json.loads(json.dumps(row)) == row
    assert row["objects"] == 3 and row["matched"] == pytest.approx(1 / 3) == row["chance"]
    assert row["colour"] in (0, 1 / 3, 1) and -1 <= row["cosine"] <= 1


def test_the_lab_model_pairs_what_random_weights_do_not(untrained):
    request = Request(6, options={})
    shares = [
        match.BENCH.headline(match.figures([match.measure(model, request, at) for at in range(6)], request))["matched"]
        for model in (load_backbone(), untrained)
    ]
    assert shares[0] > 0.8 > shares[1]


def test_the_command_prints_and_writes_its_table(tmp_path):
    result = run(match.BENCH, Request(3, options={"same_style": True}), cache=None)
    assert set(result["figures"]) == set(match.SCORES)
    text = match.table(result)
    assert "3 pairs in the same style, development split" in text and "objects=4 (1)" in text
