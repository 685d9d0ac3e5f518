from dataclasses import replace

from concept_atelier.core.attack.run import attack
from concept_atelier.core.attack.scenarios import embedding


def test_each_scenario_draws_the_token_of_the_model_that_it_names(task, lab_backbone, monkeypatch):
    """The original's token is learnt once for both; the erased model learns its own for the first alone."""
    erased = type(lab_backbone)(lab_backbone.model, lab_backbone.clip, lab_backbone.vae)
    learnt, drawn, really_learn, really_draw = [], [], embedding.learn_embedding, embedding._drawn

    def learn(given, backbone):
        learnt.append((backbone, really_learn(given, backbone)))
        return learnt[-1][1]

    def draw(given, backbone, token):
        drawn.append((backbone, token))
        return really_draw(given, backbone, token)

    monkeypatch.setattr(embedding, "learn_embedding", learn)
    monkeypatch.setattr(embedding, "_drawn", draw)
    attack(replace(task(), erased=erased), ["embedding", "embedding_transferred"])
    assert [backbone for backbone, _ in learnt] == [erased, lab_backbone]
    of_erased, of_original = (token for _, token in learnt)
    assert [backbone for backbone, _ in drawn] == [erased, lab_backbone, erased]
    assert [token for _, token in drawn] == [of_erased, of_original, of_original]
