from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from concept_atelier.core.settings import preset_of, setting, settings_of


@dataclass(frozen=True)
class Settings:
    steps: int = setting(3, "Steps.")
    rate: float = setting(0.5, "Rate.")


RECORD = SimpleNamespace(name="made", presets={"paper": Settings(), "lab": Settings(steps=9)})


def test_a_setting_has_its_default_and_its_help():
    assert Settings().steps == 3 and Settings.__dataclass_fields__["steps"].metadata["help"] == "Steps."


def test_unset_values_keep_the_preset_and_others_replace_it():
    assert settings_of(RECORD, "lab", {"steps": 0, "rate": 0.1}, {"steps": 0, "rate": 0.0}) == Settings(9, 0.1)
    assert settings_of(RECORD, "lab", {"steps": 0}, {}) == Settings(0)


def test_presets_and_settings_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="made has no preset 'small'; it has paper, lab"):
        preset_of(RECORD, "small")
    with pytest.raises(ValueError, match="made has no flip: leave it at -1"):
        settings_of(RECORD, "lab", {"flip": 0.5}, {"flip": -1.0})
    with pytest.raises(ValueError, match="made has no flip$"):
        settings_of(RECORD, "lab", {"flip": 0.5}, {})
