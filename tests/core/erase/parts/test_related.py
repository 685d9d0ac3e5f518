import pytest
import torch

from concept_atelier.core.backbone import Vocabulary
from concept_atelier.core.erase.parts.related import RelatedWord, WordSearch, words_to_keep


class Told:
    """The lab model with a vocabulary of words whose rows point where the test says; counts what is encoded."""

    def __init__(self, backbone, words):
        self.backbone, self.words, self.encoded = backbone, words, []

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def vocabulary(self):
        rows = torch.stack([self.backbone.word_vectors("cat")["clip_l"].mean(0) * sign for sign in self.words.values()])
        return Vocabulary(tuple(self.words), {"clip_l": rows})

    def encode_beginnings(self, texts, needed, placeholders=None):
        self.encoded += texts
        return self.backbone.encode_beginnings(texts, needed, placeholders)


def test_words_are_ranked_by_their_encoded_state(lab_backbone):
    found = WordSearch(lab_backbone).near("cat")
    values = [one.cosine for one in found]
    assert values == sorted(values, reverse=True) and len(found) == 32 and "cat" not in [one.word for one in found]
    states = {one.word: one.cosine for one in WordSearch(lab_backbone, searched=0).near("cat", more=["Cat", "dog"])}
    assert list(states) == ["dog"] and -1 <= states["dog"] < 1


def test_only_the_best_of_the_table_are_encoded(lab_backbone):
    scored = Told(lab_backbone, {"dog": 1, "fox": -1, "tree": -1, "bee": 1})
    assert {one.word for one in WordSearch(scored, searched=2).near("cat")} == {"dog", "bee"}
    assert all(not any(word in text for word in ("fox", "tree")) for text in scored.encoded)


def test_words_may_be_left_out_and_added(lab_backbone):
    search = WordSearch(lab_backbone, searched=5)
    plain = [one.word for one in search.near("cat")]
    found = [one.word for one in search.near("cat", left_out=[plain[0].upper()], more=["quartz xylophone", plain[1]])]
    assert plain[0] not in found and "quartz xylophone" in found and len(found) == len(set(found))


def test_learnt_tokens_have_related_words_and_every_text_is_reported(lab_backbone):
    rows = {"clip_l": lab_backbone.word_vectors("cat")["clip_l"]}
    scored = []
    search = WordSearch(lab_backbone, {"<1>": rows}, 4, lambda: scored.append(1))
    learnt, plain = search.near("<1>"), search.near("cat")
    assert learnt[0].word == "cat" and learnt[0].cosine == pytest.approx(1, abs=1e-5)
    assert len(scored) == len(learnt) + len(plain) + 2


def test_words_to_keep_are_near_a_concept_and_synonyms_of_none():
    near = {
        "cat": [("kitty", 0.99), ("dog", 0.8), ("lion", 0.7)],
        "neon style": [("neon", 0.8), ("sketch", 0.7), ("kitty", 0.2), ("dog", 0.1)],
    }

    class Search:
        def near(self, concept, left_out):
            return [RelatedWord(*one) for one in near[concept] if one[0] not in left_out]

    assert words_to_keep(Search(), ["cat", "neon style"], ["lion"], 0.9) == ("dog", "sketch")
    assert words_to_keep(Search(), ["cat", "neon style"], [], 1.0) == ("kitty", "dog", "lion", "sketch")
