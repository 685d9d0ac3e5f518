"""The page of results says what the files say, and no more."""

import json

import pytest

from concept_atelier.bench.all.erasing import BEST_ERASERS
from concept_atelier.bench.erase.attack import ASKED
from concept_atelier.bench.lab import FIGURES
from concept_atelier.bench.words.damp import FIGURES as DAMPED
from concept_atelier.bench.words.words import SCORES
from concept_atelier.core.erase.registry import METHODS
from concept_atelier.tools.pages.cost_results import before_and_now, growth, heat_maps, transformers
from concept_atelier.tools.pages.erasure_results import (
    attack_seeds,
    attacks,
    erased_counts,
    erased_kept_looks,
    erased_looks,
    erased_seeds,
    erasers,
    erasing,
    guards,
)
from concept_atelier.tools.pages.files import verdict
from concept_atelier.tools.pages.method_results import MAPPED, token_maps, unseen_objects
from concept_atelier.tools.pages.page import DOCS
from concept_atelier.tools.pages.results import ERASURE, PAGES, PARTS, lab_table, localised_table, with_results
from concept_atelier.tools.pages.word_results import DAMP_FILES, KIND_FILES, damping, word_kinds, word_maps, word_sweep


def value(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def write_lab(folder, mean):
    summary = {name: value(mean) for name in FIGURES} | {"vae_psnr": value(27.4), "synonym": value(mean - 0.1)}
    (folder / "lab.json").write_text(json.dumps({"cases": 64, "seed": 0, "summary": summary}))


def test_every_aim_stands_beside_what_was_found(tmp_path):
    write_lab(tmp_path, 0.85)
    lines = {line.split("|")[1].strip(): line for line in lab_table(tmp_path).splitlines() if line.startswith("|")}
    assert "27.400 [27.39 27.41] | yes" in lines["autoencoder, dB"]
    assert "0.95 | 0.850 [0.84 0.86] | no" in lines["one object: exactly that"]
    assert "0.8 | 0.850 [0.84 0.86] | yes" in lines["two objects: exactly those"]
    assert "0.100 | no" in lines["a synonym's distance from its name"]
    assert "--cases 64" in lab_table(tmp_path)  # as many as were measured


def test_marked_parts_are_written_anew_and_the_rest_stays(tmp_path):
    page = "# Results\n" + "".join(f"<!-- {name} -->\noutdated\n<!-- end of {name} -->\nmine\n" for name in PARTS)
    written = with_results(page, tmp_path)
    assert "Not measured with these weights yet: `bench lab --split test" in written
    assert "not measured |  | `bench localize --split test --cases 32 --hand noto`" in written
    assert "outdated" not in written and written.count("mine") == len(PARTS) and written.startswith("# Results\n")
    assert with_results(written, tmp_path) == written
    with pytest.raises(ValueError, match="needs the marks <!-- lab model -->"):
        with_results("# Results", tmp_path)


def test_localisation_on_other_hands_is_shown(tmp_path):
    scores = {"concepts": {"grid": {"miou": value(0.7)}, "pixel": {"miou": value(0.75)}}}
    found = {"cases": 16, "seed": 0, "summary": {"all": {"scores": scores}}}
    (tmp_path / "localize_noto.json").write_text(json.dumps(found))
    assert "16 | 0.700 [0.69 0.71] | 0.750 [0.74 0.76] | `bench localize" in localised_table(tmp_path)


def test_an_aim_is_reached_at_its_value():
    assert [verdict(0.9, 0.9), verdict(0.89, 0.9), verdict(0.1, None)] == ["yes", "no", ""]


def test_erasing_is_shown_with_its_aims_and_controls(tmp_path):
    keys = ("found", "others", "neighbours", "style_found")
    summary = {f"{key}_{when}": value(0.9) for key in keys for when in ("before", "after")}
    summary |= {"found_after": value(0.04), "found_before_synonym": value(0.9), "found_after_synonym": value(0.3)}
    summary |= {"preserved_after": value(0.95), "free_after": value(0.9), "pairs_of_others": 96}
    control = {"says": "objects lost", "figure": 0.0, "at_most": 0.15}
    found = {"cases": 4, "seed": 0, "summary": summary, "controls": {"random_vector": control}}
    (tmp_path / "erase.json").write_text(json.dumps(found))
    written = erasing(tmp_path)
    assert "| the erased object is found | 0.02 or less | 0.900 | 0.040 [0.03 0.05] | no |" in written
    assert "asked for by a synonym | 0.1 or less | " in written
    assert "0.300 [0.29 0.31] | no |" in written and "yes, 0.000" in written
    assert "Controls: objects lost, 0.000 (0.15 allowed)." in written and "--cases 4 --controls 4" in written


def test_listed_synonyms_have_an_aim_of_their_own(tmp_path):
    keys = [f"{key}_{when}" for key in ("found", "others", "neighbours", "style_found") for when in ("before", "after")]
    summary = dict.fromkeys([*keys, "found_before_synonym", "found_after_synonym"], value(0.5))
    summary |= {"preserved_after": value(0.95), "free_after": value(0.9), "pairs_of_others": 96}
    (tmp_path / "erase").mkdir()
    for name, mean in (("erase", 0.5), ("erase/mace_synonyms", 0.04)):
        found = {"cases": 12, "seed": 0, "summary": summary | {"found_after_synonym": value(mean)}}
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    written = erasing(tmp_path)
    assert "| synonyms when listed, UCE | 0.05 or less |  | not measured yet |  |" in written
    listed = (
        "| synonyms when listed, MACE, its closed forms | 0.05 or less | 0.500 | 0.040 [0.03 0.05] (12 cases) | yes |"
    )
    assert listed in written and written.index("by a synonym") < written.index(listed) < written.index("other objects")


def test_looks_of_kept_objects_stand_beside_chance_and_older_files_lack_them(tmp_path):
    (tmp_path / "erase").mkdir()
    looks = {"kept_style": value(0.9), "kept_style_chance": value(0.6), "kept_colour": None, "kept_colour_chance": None}
    for name, summary in (("erase/doco", looks), ("erase", {"found_after": value(0.1)})):
        (tmp_path / f"{name}.json").write_text(json.dumps({"cases": 4, "summary": summary}))
    written = erased_kept_looks(tmp_path)
    assert "| DoCo | 4 | 0.90 | 0.60 | - | - |" in written and "| UCE | not measured yet |" in written


def test_methods_of_erasing_stand_side_by_side_and_what_is_not_measured_is_said(tmp_path):
    keys = ("found", "others", "neighbours", "style_found")
    summary = {f"{key}_after": value(0.1) for key in keys} | {"found_after_synonym": None}
    (tmp_path / "erase").mkdir()
    (tmp_path / "erase/mace.json").write_text(json.dumps({"cases": 44, "summary": summary}))
    rows = erasers(tmp_path).splitlines()
    assert len(rows) == 2 + len(METHODS)
    assert "| MACE, its closed forms | 44 | 0.100 [0.09 0.11] |  | 0.100 [0.09 0.11] |" in "\n".join(rows)
    assert "| RECE | not measured: `bench erase --split test --cases 16 --method rece` |" in "\n".join(rows)


def test_the_page_of_erasing_says_what_was_measured_at_once_and_of_looks(tmp_path):
    (tmp_path / "erase").mkdir()
    many = {"found_after": value(0.2), "others_after": value(0.9), "neighbours_after": value(0.8)}
    looks = {f"colour_{which}_{when}": value(0.5) for which in ("found", "others") for when in ("before", "after")}
    for name, summary in (("uce_10", many), ("hirm_colours", looks)):
        (tmp_path / f"erase/{name}.json").write_text(json.dumps({"cases": 4, "summary": summary}))
    counts, shown = erased_counts(tmp_path), erased_looks(tmp_path)
    assert "| UCE | not measured yet | 0.20 / 0.90 / 0.80 (4) | not measured yet |" in counts
    assert "| ESD | not measured yet | not measured yet | left out |" in counts
    assert "| UCE, kept_words=32 erase_scale=4 | not measured yet | not measured yet | not measured yet |" in counts
    assert "| HiRM | not measured yet | 0.50 / 0.50 / 0.50 / 0.50 (4) |" in shown
    marks = "".join(f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in ERASURE)
    assert counts in with_results(marks, tmp_path, ERASURE)


def test_attacks_are_shown_with_floor_and_ceiling(tmp_path):
    entry = {"found": 0.25, "floor": 0.0, "ceiling": 1.0, "pictures": 4, "returned": 0.25}
    methods = {
        "uce": {"names": entry, "relearning": entry | {"half": 20.0, "never": 1}},
        "hirm": {"names": entry},
        "speed": {"names": None},
    }
    found = {"cases": 2, "summary": {"methods": methods, "erased": ["cat"]}}
    assert attacks(tmp_path).count("Not measured") == 7
    (tmp_path / "attack.json").write_text(json.dumps(found))
    written = attacks(tmp_path)
    assert "2 erasures, cat: `bench attack --split test --cases 2" in written and written.count("Not measured") == 6
    assert "| Its name | 0.25 (0.00, 1.00) | 0.25 (0.00, 1.00) |" in written
    assert "| Re-learning curve | 20+ steps | - |" in written
    more = {"cases": 1, "summary": {"methods": {"uce": {"noise": entry}}, "erased": ["cat"]}}
    (tmp_path / "attack_more.json").write_text(json.dumps(more))
    control = {"says": "what erasing a random vector changes", "figure": 0.0, "at_most": 0.15}
    (tmp_path / "attack_controls.json").write_text(json.dumps(more | {"controls": {"random_vector": control}}))
    written = attacks(tmp_path)
    assert "| Its name | 0.25 (0.00, 1.00) |" in written and "| Noise added back | 0.25 (0.00, 1.00) | - |" in written
    learnt = {"methods": {"unknown": {"relearning": entry | {"half": 12.0, "never": 0}}}, "erased": ["snail", "bus"]}
    (tmp_path / "attack_unknown.json").write_text(json.dumps({"cases": 2, "summary": learnt}))
    assert "never saw (snail, bus), the model as it is trains for 12 steps: `bench attack" in attacks(tmp_path)
    assert "Controls: what erasing a random vector changes, 0.000 (0.15 allowed). `bench attack" in written


def test_seeds_of_attacks_are_joined(tmp_path):
    assert "Not measured" in attack_seeds(tmp_path)
    for number, found in enumerate((0.0, 0.25, 0.5)):
        of = {name: {"found": found} for name in ASKED} | {"relearning": {"found": 1.0, "half": 20.0 + number}}
        summary = {"methods": dict.fromkeys(BEST_ERASERS, of), "erased": [f"cat {number}"]}
        file = f"attack_seed{number}.json" if number else "attack.json"
        (tmp_path / file).write_text(json.dumps({"cases": 2, "summary": summary}))
    written = attack_seeds(tmp_path)
    assert "cat 0: `bench attack" in written and "--seed 2" in written
    assert "| Its name | 0.25 [0.00 0.50] |" in written and "| Re-learning curve | 21.00 [20.00 22.00] |" in written


def test_guards_stand_beside_no_guard(tmp_path):
    entry = {"found": 1.0, "floor": 0.0, "ceiling": 1.0}
    for name, way, found in (("none", "uce", 1.0), ("adavd", "uce", 0.25), ("adavd_alone", "none", 0.75)):
        both = {"names": entry, "embedding": entry | {"found": 0.5}, "inversion": entry | {"found": found}}
        summary = {"methods": {way: both}, "kept": {way: {"before": 1.0, "after": 0.5}}}
        (tmp_path / f"attack_guard_{name}.json").write_text(json.dumps({"cases": 4, "summary": summary}))
    written = guards(tmp_path)
    assert (
        "| erased by UCE | none | 4 | 1.00 (0.00, 1.00) | 0.50 (0.00, 1.00) | 1.00 (0.00, 1.00) | 1.00, 0.50 |"
        in written
    )
    assert (
        "| erased by UCE | AdaVD | 4 | 1.00 (0.00, 1.00) | 0.50 (0.00, 1.00) | 0.25 (0.00, 1.00) | 1.00, 0.50 |"
        in written
    )
    assert "| as it is | AdaVD | 4 | 1.00 (0.00, 1.00) | 0.50 (0.00, 1.00) | 0.75 (0.00, 1.00) |" in written
    assert "| erased by UCE | IRECE | not measured: `" in written


def test_seeds_of_a_method_of_erasing_are_joined(tmp_path):
    (tmp_path / "erase").mkdir()
    for file, mean in (("erase", 0.1), ("erase/uce_seed1", 0.2), ("erase/uce_seed2", 0.0), ("erase/mace", 0.5)):
        keys = ("found_after", "found_after_synonym", "others_after", "neighbours_after")
        found = {"cases": 8, "summary": {key: value(mean) for key in keys}}
        (tmp_path / f"{file}.json").write_text(json.dumps(found))
    written = erased_seeds(tmp_path)
    assert "| UCE | 0.10 [0.00 0.20] | 0.10 [0.00 0.20] |" in written
    assert "| MACE, its closed forms | 1 of 3 seeds measured yet |" in written


def test_seeds_of_a_way_of_localising_are_joined(tmp_path):
    (tmp_path / "localize").mkdir()
    for name, mean in (("localize", 0.7), ("localize/seed1", 0.8), ("localize/unseen_seed2", 0.6)):
        scores = {"concepts": {at: {"miou": value(mean)} for at in ("grid", "pixel")}}
        (tmp_path / f"{name}.json").write_text(json.dumps({"summary": {"all": {"scores": scores}}}))
    row = unseen_objects(tmp_path).splitlines()[2]
    assert row == (
        "| `--preset small` | 2 and 1 | 0.75 [0.70 0.80] | 0.75 [0.70 0.80] | 0.60 [0.60 0.60] | 0.60 [0.60 0.60] |"
    )


def test_costs_are_shown_as_they_are_stored(tmp_path):
    assert all("Not measured yet" in write(tmp_path) for write in (before_and_now, growth, heat_maps, transformers))
    model = {"model": "sd15", "side": 512}
    maps = {"cpu_ratio": 0.2368, "cpu_ratio_range": [0.23, 0.25], "plain_peak_mb": 192.0, "ours_peak_mb": 81.0}
    table = {"sides": {"512": {"word_maps": {"cpu_s": 0.3, "cpu_ratio": 1}}}, "concepts": {}, "preserved": {}}
    side = {"iou": 0.7451, "without_finest_iou": 0.72, "cpu_s": 0.3, "without_finest_cpu_s": 0.1, "finest_mb": 4.8}
    figures = [
        {"figure": "attention maps", "largest_difference": 2e-9, **model, **maps},
        {"figure": "growth", **model, **table},
        {"figure": "heat maps", **model, "sides": {"768": side}},
        {
            "figure": "transformer blocks",
            "model": "flux2_klein",
            "side": 512,
            "blocks": {"double_blocks": {"plain_cpu_s": 4.0, "map_cpu_s": 0.1}},
            "whole": {"blocks": 25, "recorded": 3, "cpu_ratio": 1.0046},
            "cpu_ratio": 1.02,
            "cpu_ratio_range": [1.01, 1.03],
            "plain_peak_mb": 411.2,
            "more_mb": 1.75,
        },
    ]
    (tmp_path / "cost.json").write_text(json.dumps({"figures": figures}))
    assert "| SD1.5, 512 px | 0.237 [0.23 0.25] | 192, 81 | 2e-09 |" in before_and_now(tmp_path)
    assert "| 512 px | SD1.5 | 0.3 |  |  |  |" in growth(tmp_path)
    assert (
        "| FLUX.2 klein 4B | 512 px | double_blocks 4, 0.1 | 25, 3 | 1.005 | 1.020 [1.010 1.030] | 411.2, 1.75 |"
        in transformers(tmp_path)
    )
    assert "| 768 px | SD1.5 | 0.720, 0.745 | 0.1, 0.3 | 4.8 |" in heat_maps(tmp_path)


def test_heat_maps_of_words_stand_by_kind_and_a_sweep_by_layer_and_noise(tmp_path):
    assert "bench words --split test" in word_maps(tmp_path) and "--sweep" in word_sweep(tmp_path)
    scores = {name: value(0.6) for name in (*SCORES, "shuffled")}
    plain = {"cases": 6, "seed": 0, "summary": {"all": {"name": {"words": 12, **scores}}}}
    (tmp_path / "words.json").write_text(json.dumps(plain))
    first, *others = word_kinds(tmp_path).splitlines()[2:]
    assert first.startswith("| attention, complete | 6 | 0.600 [0.59 0.61] |") and len(others) == len(KIND_FILES) - 1
    assert all("not measured" in line for line in others)
    assert "| name | 12 | 0.600 [0.59 0.61] |" in word_maps(tmp_path) and "--cases 6" in word_maps(tmp_path)
    swept = {
        f"{layer} at {noise}": {"name": {"iou": value(mean)}}
        for layer, noise, mean in (("all", 0.1, 0.5), ("all", 0.5, 0.7), ("mid", 0.1, 0.2), ("mid", 0.5, 0.3))
    }
    (tmp_path / "words_sweep.json").write_text(json.dumps({"cases": 6, "seed": 0, "summary": swept}))
    lines = word_sweep(tmp_path).splitlines()
    assert lines[-2:] == ["| all | 0.500 | 0.700 |", "| `mid` | 0.200 | 0.300 |"]


def test_damped_words_are_shown_by_kind_of_map(tmp_path):
    assert damping(tmp_path).count("`bench damp --split test") == len(DAMP_FILES)
    control = {"says": "by a model at random weights", "figure": 0.001, "at_most": 0.01}
    summary = {"names": 5, **{key: value(0.5) for key in DAMPED}, "kept": None}
    found = {"cases": 3, "seed": 0, "summary": summary, "controls": {"untrained": control | {"cases": 2}}}
    (tmp_path / "words_damp.json").write_text(json.dumps(found))
    written = damping(tmp_path)
    assert "| attention, complete | 5 | 0.500 [0.49 0.51] |" in written and "| - | `bench damp" in written
    assert "--cases 3 --controls 2" in written and written.endswith("random weights, 0.001 (0.01 allowed).")


def test_maps_of_tokens_with_the_cycle_loss_are_compared_object_by_object(tmp_path):
    (tmp_path / "learn").mkdir()
    assert token_maps(tmp_path).count("not measured: `bench learn") == len(MAPPED)
    for name, fit in zip(MAPPED, (0.5, 0.75), strict=True):
        figures = {key: value(fit) for key in ("map_iou", "map_point", "acc1", "sim_i")}
        rows = [{"objects": [{"map_iou": fit + more, "map_point": 1.0}]} for more in (0.0, 0.1)]
        (tmp_path / name).write_text(
            json.dumps({"cases": 2, "seed": 0, "summary": {"seen": figures, "unseen": figures}, "rows": rows})
        )
    written = token_maps(tmp_path)
    assert "| ConceptExpress `small` | 2 | 0.500 [0.49 0.51] |" in written and "| 0.750 [0.74 0.76] |" in written
    assert "over 2 objects: IoU of maps 0.250 [0.25 0.25], largest on the object 0.000 [0.00 0.00]." in written


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_those_of_the_files(name):
    page = (DOCS / name).read_text(encoding="utf-8")
    assert with_results(page, parts=PAGES[name]) == page, "run python -m concept_atelier.tools.build_tables"
