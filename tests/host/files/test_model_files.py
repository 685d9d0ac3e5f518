"""Tokens and LoRAs in the folders of models: replaced from run to run, never within one."""

import pytest
import torch

from concept_atelier.core.files import load_tensors
from concept_atelier.host.files import saving
from concept_atelier.host.files.folders import BadNameError
from concept_atelier.host.files.model_files import save_model


def content(value):
    return {"emb_params": torch.full((1, 4), value)}, {"name": "apple"}


def test_a_file_of_an_earlier_run_is_replaced_and_one_of_this_time_is_not(here):
    for value in (1.0, 2.0):
        with saving.run(), saving.record_written() as written:
            saved = save_model(here, "embeddings", "fruit/apple", content(value))
            assert (saved.name, saved.note) == ("fruit/apple", "") and written == [saved.path]
            assert load_tensors(saved.path)[0]["emb_params"][0, 0] == value
            second = save_model(here, "embeddings", "fruit/apple.safetensors", content(9.0))
            second.path.unlink()
    assert second.name == "fruit/apple_2" and second.path.name == "apple_2.safetensors"
    assert second.note == "fruit/apple was written meanwhile by another run or node; this one is fruit/apple_2"
    assert here.list_models("embeddings") == ["fruit/apple.safetensors"]


def test_bad_names_are_refused(here):
    with pytest.raises(BadNameError):
        save_model(here, "loras", "../apple", content(1.0))
