from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import Literal

import pytest

from concept_atelier.core.attack.parts.settings import AttackSettings
from concept_atelier.core.compose.registry import METHODS as COMPOSING
from concept_atelier.core.erase.guards.registry import METHODS as GUARDS
from concept_atelier.core.erase.registry import METHODS as ERASING
from concept_atelier.core.explain.registry import METHODS as FINDING
from concept_atelier.core.learn.registry import METHODS as LEARNING
from concept_atelier.core.localize.registry import METHODS as LOCALIZING
from concept_atelier.core.settings import (
    MOST_SEED,
    OLD_PRESETS,
    preset_of,
    read_settings,
    setting,
    settings_of,
    with_entries,
)
from concept_atelier.core.settings import (
    Settings as Ranges,
)


@dataclass(frozen=True)
class Settings:
    steps: int = setting(3, "Steps.")
    rate: float = setting(0.5, "Rate.")


RECORD = SimpleNamespace(name="made", presets={"paper": Settings(), "small": Settings(steps=9)})


def test_a_setting_has_its_default_and_its_help():
    assert Settings().steps == 3 and Settings.__dataclass_fields__["steps"].metadata["help"] == "Steps."


def test_unset_values_keep_the_preset_and_others_replace_it():
    assert settings_of(RECORD, "small", {"steps": 0, "rate": 0.1}, {"steps": 0, "rate": 0.0}) == Settings(9, 0.1)
    assert settings_of(RECORD, "small", {"steps": 0}, {}) == Settings(0)


@pytest.mark.parametrize("old", ["lab", "small_grid", "small_model"])
def test_presets_are_found_by_the_names_that_workflows_have_saved(old):
    assert preset_of(RECORD, old) is RECORD.presets["small"]


def test_no_method_has_a_preset_of_an_old_name():
    methods = [*LEARNING.values(), *LOCALIZING.values(), *ERASING.values()]
    assert len(methods) >= 10
    for method in methods:
        assert not {*OLD_PRESETS} & {*method.presets}, method.name
        assert {"paper", "small"} <= {*method.presets}, method.name


def test_presets_and_settings_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="made has no preset 'large'; it has paper, small"):
        preset_of(RECORD, "large")
    with pytest.raises(ValueError, match="made has no flip: leave it at -1"):
        settings_of(RECORD, "small", {"flip": 0.5}, {"flip": -1.0})
    with pytest.raises(ValueError, match="made has no flip$"):
        settings_of(RECORD, "lab", {"flip": 0.5}, {})


@dataclass(frozen=True)
class Some:
    rounds: int = 1
    inside: float = 0.5
    hold: bool = False
    mode: str = "all"
    templates: tuple[str, ...] = ()


def test_written_settings_are_read_as_the_kind_that_they_are():
    found = read_settings("some", ["rounds=2", "inside = 1", "hold=True", "mode=last_subject"], Some())
    assert found == {"rounds": 2, "inside": 1.0, "hold": True, "mode": "last_subject"}
    assert [type(value) for value in found.values()] == [int, float, bool, str]
    assert with_entries("some", Some(), ["rounds=2"]) == Some(rounds=2)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["rounds"], "written as name=value, got 'rounds'"),
        (["rounds="], "written as name=value"),
        (["turns=2"], "some has no setting 'turns'; it has rounds, inside"),
        (["rounds=1", "rounds=2"], "given twice"),
        (["rounds=1.5"], "rounds must be a whole number, got '1.5'"),
        (["hold=1"], "hold must be true or false"),
        (["inside=near"], "inside must be a number"),
        (["templates=a"], "templates must be left as it is"),
    ],
)
def test_written_settings_that_cannot_be_read_are_refused(entries, message):
    with pytest.raises(ValueError, match=message):
        read_settings("some", entries, Some())


@dataclass(frozen=True)
class Bounded(Ranges):
    share: float = setting(0.5, "A share.", least=0, most=1)
    rate: float = setting(0.1, "A rate.", above=0)
    cells: int = setting(3, "Cells.", least=1)
    seed: int = setting(0, "A seed.", most=MOST_SEED)
    free: float = setting(0.0, "Anything finite.")
    form: Literal["mse", "ratio"] = setting("mse", "A form.")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, "share must be 0 or more and at most 1, got 1.5"),
        ({"share": float("nan")}, "share must be a finite number, got nan"),
        ({"rate": 0.0}, "rate must be above 0, got 0.0"),
        ({"rate": float("inf")}, "rate must be a finite number, got inf"),
        ({"free": float("-inf")}, "free must be a finite number, got -inf"),
        ({"cells": 0}, "cells must be 1 or more, got 0"),
        ({"cells": 10**30}, "cells must be 1 or more and at most 2147483647, got 1000"),
        ({"seed": -(10**30)}, "seed must be -2147483647 or more and at most 9223372036854775807, got -1000"),
        ({"seed": 2**63}, "seed must be -2147483647 or more and at most 9223372036854775807"),
        ({"form": "x"}, "form must be one of mse, ratio, got 'x'"),
    ],
)
def test_settings_outside_their_range_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Bounded(**values)


def test_settings_at_the_ends_of_their_range_pass():
    assert Bounded(share=0, rate=1e-30, cells=2**31 - 1, seed=MOST_SEED, free=-1e30, form="ratio").cells == 2**31 - 1


def test_no_method_takes_numbers_that_are_not_finite_or_too_great_for_a_tensor():
    records = [method.preset("small") for group in (ERASING, GUARDS, COMPOSING, FINDING) for method in group.values()]
    tried = 0
    for record in [*records, AttackSettings()]:
        for entry in fields(record):
            now = getattr(record, entry.name)
            odd = {float: (float("nan"), float("inf"), float("-inf")), int: (10**30, -(10**30))}.get(type(now), ())
            for value in odd:
                tried += 1
                with pytest.raises(ValueError, match=entry.name):
                    replace(record, **{entry.name: value})
    assert tried > 300
