"""Audit Focus: a share, a map, and what is refused."""

import csv
import io

import pytest
import torch

from concept_atelier.nodes import AuditFocus

PICTURE = torch.rand(1, 64, 48, 3, generator=torch.Generator().manual_seed(4))
MASK = torch.zeros(1, 64, 48)
MASK[:, :32] = 1


@pytest.fixture
def audit(call, sockets):
    def audit_(**given):
        values = {"image": PICTURE, "mask": MASK, "text": "a cat on blue", "word": "cat", "levels": 2, "seed": 1}
        return call(AuditFocus, **sockets, **(values | given))

    return audit_


def test_a_share_and_a_map(audit):
    share, drawn, _ = audit()
    assert 0 < share < 1 and drawn.ndim == 4 and len(drawn) == 1
    assert audit()[0] == share
    assert audit(mask=1 - MASK)[0] == pytest.approx(1 - share, abs=1e-5)


def test_every_layer_and_level_is_in_the_csv(audit):
    share, _, table = audit()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == 11 and list(rows[0]) == ["layer", "block", "mean", "level 0.1", "level 0.9"]
    assert rows[-1]["layer"] == "all" and float(rows[-1]["mean"]) == pytest.approx(share, abs=1e-4)
    layers = [float(row["level 0.9"]) for row in rows[:-1]]
    assert float(rows[-1]["level 0.9"]) == pytest.approx(sum(layers) / len(layers), abs=1e-4)


def test_a_learnt_token_is_audited(audit, tokens):
    assert 0 < audit(text="a photo of <red>", word="<red>", tokens=tokens)[0] < 1


@pytest.mark.parametrize(
    "mask", [MASK.bool(), MASK.long(), MASK[0], MASK * 255, MASK - 0.1 * (1 - MASK), MASK[:, None]]
)
def test_masks_as_other_packs_write_them_are_the_same(audit, mask):
    assert audit(mask=mask)[0] == audit()[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": torch.zeros(1, 8, 8)}, "cover a part"),
        ({"word": "whale"}, "'whale' is not in the text"),
        ({"text": "a <7>", "word": "<7>"}, "names <7>"),
    ],
)
def test_what_cannot_be_audited_is_refused(audit, given, message):
    with pytest.raises(ValueError, match=message):
        audit(**given)


def test_a_transformers_attention_is_audited(call, transformer):
    given = {"image": PICTURE, "text": "a cat on blue", "word": "cat", "levels": 2, "seed": 1, **transformer}
    share, drawn, _ = call(AuditFocus, mask=MASK, **given)
    assert 0 < share < 1 and drawn.ndim == 4
    assert call(AuditFocus, mask=1 - MASK, **given)[0] == pytest.approx(1 - share, abs=1e-5)
