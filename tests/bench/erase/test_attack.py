"""What ``bench attack`` measures of an erasure, and how it becomes figures."""

import argparse
import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.bench.command import load_parts
from concept_atelier.bench.erase import attack, attacked
from concept_atelier.bench.erase.kept import kept_of
from concept_atelier.bench.harness import Request
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import Judge, build_network
from concept_atelier.lab.world.atlas import load_atlas

QUICK = {"draws": 1, "steps": 1, "side": 32, "shown": 1, "learn_steps": 1, "relearn_steps": 1, "relearn_rank": 1}


@pytest.fixture(scope="module")
def parts():
    judge = Judge(build_network().eval(), tuple(kind.name for kind in load_atlas().kinds), 0.5, CounterNet())
    return attacked.AttackParts(*load_parts(untrained=True), judge)


def request(*scenarios, methods=("uce", "hirm"), **options):
    given = {"methods": list(methods), "scenarios": list(scenarios), "set": QUICK} | options
    return Request(4, split="test", options=given)


def entry(found, ceiling=1.0, **more):
    return {"found": found, "floor": 0.0, "ceiling": ceiling, "pictures": 4, "seconds": 1.0, **more}


def row(method, erased, **scenarios):
    kept = {"before": 1.0, "after": 0.5 if erased == "cat" else 0.0, "pictures": 4}
    return {"method": method, "erased": erased, "scenarios": scenarios, "left_out": {}, "kept": kept}


def test_methods_take_turns_and_share_what_the_original_model_drew(parts):
    rows = []
    for index in (0, 1):
        rows.append(attack.measure(parts, request("names", methods=("uce", "rece")), index))
        task = next(iter(parts.tasks.values()))
        named = task.named()
    assert [row["method"] for row in rows] == ["uce", "rece"] and rows[0]["erased"] == rows[1]["erased"]
    assert task.named() is named and len(parts.tasks) == 1
    assert json.loads(json.dumps(rows)) == rows


def test_other_things_are_looked_for_before_and_after(parts):
    """A judge that sees the first of the others in pictures of the model as it was, and nothing in any other."""
    kind = load_atlas().of_split("train")[0]
    asked = request("names", set={**QUICK, "draws": 2}, methods=("uce",))
    task = attacked.task_without(parts, asked, "uce", kind)
    known = task.without()

    class Sees:
        def look(self, pictures):
            return pictures

        def found(self, looked):
            return [[task.others[0]] * bool((known == one).flatten(1).all(1).any()) for one in looked]

    assert kept_of(Sees(), task) == {"before": 0.5, "after": 0.0, "pictures": 2}


def test_another_object_is_attacked_next(parts):
    first, last = (attack.measure(parts, request("names", methods=("uce",)), index) for index in (0, 1))
    assert first["erased"] != last["erased"] and list(parts.tasks) == [last["erased"]]


def test_narrower_terms_are_asked_of_objects_that_have_some(parts):
    asked = request("relatives", methods=("uce",))
    names = [attacked.kind_of(asked, index).name for index in range(4)]
    assert len(set(names)) == 4 and set(names) <= set(attacked.NARROWER)
    task = attacked.task_of(parts, asked, attacked.kind_of(asked, 0))
    assert task.relatives == attacked.NARROWER[names[0]]
    assert attack.measure(parts, asked, 0)["scenarios"]["relatives"]["pictures"] == 1
    both = request("names", "relatives", methods=("uce",))
    assert attack.measure(parts, both, 0)["left_out"] == {"relatives": "no kinds above or below it were named"}


def test_narrower_terms_are_other_names_of_their_objects():
    kinds = {kind.name: kind for kind in load_atlas().kinds}
    assert all(set(words) <= set(kinds[name].synonyms) for name, words in attacked.NARROWER.items())


def test_further_erasures_and_the_curve_have_their_entries(parts):
    made = attack.measure(parts, request("sequence", "relearning", methods=("uce",)), 0)["scenarios"]
    assert [step for step, _ in made["relearning"]["curve"]] == [0, 1]
    assert set(made["sequence"]) == {"found", "floor", "ceiling", "pictures", "seconds"}


def test_figures_are_means_over_objects_and_a_curve_that_never_gets_there_counts_all_its_steps():
    rows = [
        row("uce", "cat", names=entry(0.0), relearning=entry(1.0, curve=[[0, 0.0], [40, 1.0]], half=20.0)),
        row("uce", "dog", names=entry(0.5), relearning=entry(0.0, curve=[[0, 0.0], [40, 0.0]], half=None)),
    ]
    asked = Request(2, options={"methods": ["uce"], "scenarios": ["names", "relearning"], "set": {"relearn_steps": 40}})
    made = attack.figures(rows, asked)
    assert made["methods"]["uce"]["names"] == {
        "found": 0.25,
        "floor": 0.0,
        "ceiling": 1.0,
        "pictures": 8,
        "returned": 0.25,
    }
    assert made["methods"]["uce"]["relearning"]["half"] == 30.0 and made["methods"]["uce"]["relearning"]["never"] == 1
    assert attack.headline(made) == {"uce": {"names": 0.25, "relearning": 30.0}}
    assert made["kept"] == {"uce": {"before": 1.0, "after": 0.25}}
    said = attack.table({"summary": made, "cases": 2, "seed": 0})
    assert "Its name" in said and "30+" in said and said.splitlines()[-1].split()[-2:] == ["1.00", "0.25"]


def test_controls_distinguish_a_figure_that_moved_from_one_that_did_not():
    asked = Request(1, options={"methods": ["uce"], "scenarios": ["names"]})
    moved, still = (attack.figures([row("uce", "cat", names=entry(found))], asked) for found in (0.25, 1.0))
    assert attack._moved(moved) == 0.75 and attack._moved(still) == 0.0
    blind = attack.figures([row("uce", "cat", names=entry(0.0, ceiling=0.0))], asked)
    assert attack._found(blind) == 0.0 and attack._moved(blind) == 1.0  # nothing could be lost: it proves nothing


def test_a_detector_asks_the_judge_for_its_object(parts):
    detector = attacked.JudgeOf(parts.judge, "cat")
    assert detector.found(torch.rand(2, 3, 32, 32)).dtype == torch.bool


def test_a_guard_alone_is_attacked_on_the_model_as_it_is(parts, monkeypatch):
    guard, begun = attacked.GUARDS["adavd"], []
    watched = replace(guard, begin=lambda task: begun.append(task.concepts[0].name) or guard.begin(task))
    monkeypatch.setattr(attacked, "GUARDS", {**attacked.GUARDS, "adavd": watched})
    asked = request("names", methods=("none",), guard="adavd")
    made = attack.measure(parts, asked, 0)
    assert made["method"] == "none" and set(made["scenarios"]) == {"names"}
    assert len(begun) == 2 and set(begun) == {made["erased"]}  # of its name, and of other things
    with pytest.raises(ValueError, match="nothing to attack but a guard"):
        attack.main(arguments("--methods", "none"))


def arguments(*given):
    parser = argparse.ArgumentParser()
    attack.add_arguments(parser)
    return parser.parse_args(given)


def test_an_object_that_the_model_never_saw_is_learnt_from_pictures_of_the_world(parts):
    """By the model as it is: the curve begins at what it draws of an unknown name."""
    asked = request("relearning", methods=(attacked.UNKNOWN,), set={**QUICK, "shown": 2})
    made = attack.measure(parts, asked, 1)
    kind = load_atlas().of_split("test")[1]
    assert made["erased"] == kind.name and kind not in load_atlas().of_split("train")
    task = attacked.task_without(parts, asked, attacked.UNKNOWN, kind)
    assert task.erased is task.original and task.shown().shape == (2, 3, 32, 32)
    assert not torch.equal(*task.shown())  # before different backgrounds
    assert [step for step, _ in made["scenarios"]["relearning"]["curve"]] == [0, 1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--methods", "unknown,uce", "--scenarios", "relearning"], "can only be learnt"),
        (["--methods", "unknown"], "can only be learnt"),
        ([*attack.LEARNT.split(), "--split", "train"], "saw all objects of --split train"),
    ],
)
def test_objects_that_the_model_never_saw_are_asked_for_alone(given, said):
    with pytest.raises(ValueError, match=said):
        attack.main(arguments(*given))
