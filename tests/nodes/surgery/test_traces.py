"""Concept vectors from finding to an audit of an erasure, over the lab model at random weights."""

import pytest
import torch

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
    assert page.ndim == 4 and "3 value vectors" in report and "cat says" in report


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


def test_an_audit_sees_which_depth_an_erasure_reaches(call, sockets, found, edited, erase):
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
