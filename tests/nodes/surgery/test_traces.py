"""Concept vectors from finding to an audit of an erasure, over the lab model at random weights."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.surgery.begun import PRESETS
from concept_atelier.nodes import (
    AuditErasureInside,
    EditConceptVectors,
    FindConceptVectors,
    LoadErasure,
    SaveErasureAsLora,
)

OTHERS = "dog, house, rocket"


@pytest.fixture(scope="module")
def found(call, sockets):
    return call(FindConceptVectors, clip=sockets["clip"], concept="cat", others=OTHERS, count=3, settings="rounds=1")


@pytest.fixture(scope="module")
def edited(call, sockets, found):
    return call(EditConceptVectors, clip=sockets["clip"], vectors=found[0], amount=-1.0)


def context(sockets, encode, clip):
    from concept_atelier.host.adapters import backbone_of

    return backbone_of(clip=clip).encode_text(["a cat"]).context


def test_vectors_are_found_and_said(found):
    vectors, page, report = found
    assert len(vectors.vectors) == 3 and vectors.others == ("dog", "house", "rocket")
    assert page.ndim == 4 and "3 value vectors" in report and "cat keeps" in report


def test_an_edit_is_a_patch_on_a_copy_and_a_file(call, sockets, edited, encode):
    plain = context(sockets, encode, sockets["clip"])
    clip, erasure = edited
    changed = context(sockets, encode, clip)
    assert not torch.equal(changed, plain) and torch.equal(context(sockets, encode, sockets["clip"]), plain)
    name = call(SaveErasureAsLora, erasure=erasure, name="test/vectors")[0]
    again = call(LoadErasure, model=sockets["model"], clip=sockets["clip"], name=name)
    clips = [part for part in again.result if type(part) is type(clip)]
    torch.testing.assert_close(context(sockets, encode, clips[0]), changed, rtol=1e-3, atol=1e-3)


def test_an_amount_of_one_changes_nothing(call, sockets, found, encode):
    same = call(EditConceptVectors, clip=sockets["clip"], vectors=found[0], amount=1.0)[0]
    torch.testing.assert_close(context(sockets, encode, same), context(sockets, encode, sockets["clip"]))


def test_noise_is_another_edit_and_vectors_of_other_words_may_be_left_alone(call, sockets, found, encode):
    first, *others = found[0].vectors
    mixed = (replace(first, taken=1.0, spared=0.0), *(replace(one, taken=0.1, spared=1.0) for one in others))

    def read(**changes):
        given = {"clip": sockets["clip"], "amount": 0.5, "vectors": replace(found[0], vectors=mixed)} | changes
        return context(sockets, encode, call(EditConceptVectors, **given)[0])

    scaled, noisy = read(), read(edit="noise")
    assert not torch.allclose(scaled, noisy, atol=1e-4)
    assert not torch.allclose(noisy, read(edit="noise", seed=7), atol=1e-4)
    torch.testing.assert_close(read(edit="noise", amount=0.0), context(sockets, encode, sockets["clip"]))
    own = read(vectors=replace(found[0], vectors=mixed[:1]))
    assert torch.equal(read(selective_only=True), own) and not torch.allclose(own, scaled, atol=1e-5)


def test_an_audit_sees_which_depth_an_erasure_reaches(call, sockets, found, edited, erase, monkeypatch):
    monkeypatch.setitem(PRESETS, "small", replace(PRESETS["small"], draws=2, steps=3, side=64))
    erased = erase(anchors="dog", preserve="house, rocket")[0]
    given = {"model": sockets["model"], "clip": sockets["clip"], "others": OTHERS, "other_words": "kitty"}
    audit, page, report = call(AuditErasureInside, **given, erased_model=erased, vectors=found[0])
    assert [way.kind for way in audit.ways] == ["name", "other word", "typo", "typo", "typo"]
    assert audit.traces == 1 and audit.text == pytest.approx(1, abs=1e-3) and page.ndim == 4
    assert "What is drawn has changed" in report or audit.ways[0].after >= 0.5
    by_text = {"erased_model": sockets["model"], "erased_clip": edited[0], "vectors": found[0], "typos": False}
    audit, _, report = call(AuditErasureInside, **given, **by_text)
    assert audit.traces == 0 and len(audit.ways) == 2 and "0% (original 100%); gone" in report


def test_what_cannot_be_found_is_refused(call, sockets, transformer):
    with pytest.raises(ValueError, match="at least 2 other words"):
        call(FindConceptVectors, clip=sockets["clip"], others="dog")
