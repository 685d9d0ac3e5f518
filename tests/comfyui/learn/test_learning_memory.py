"""Whatever learning took is given back: tensors, clones of the model, and what hung on its layers."""

import gc
import weakref

import pytest
import torch

STEPS = 3
SMALL = 2**16  # bytes: less than one of the smallest model's larger weights


@pytest.fixture
def concepts(run, parts, image, masks):
    return run("ConceptsFromMasks", **parts, image=image, masks=masks)[0]


@pytest.fixture
def watched(comfyui):
    """Calls a function after every step of a training, as ComfyUI's progress bar does."""
    import comfy.utils

    def go(look):
        comfy.utils.set_progress_bar_global_hook(lambda done, total, *_, **__: look(done) if total == STEPS else None)

    yield go
    comfy.utils.set_progress_bar_global_hook(None)


@pytest.fixture
def train(run, parts, image, concepts, watched, uninterrupted):
    """A training that finishes or is cancelled after its second step; all its outputs are thrown away."""
    import comfy.model_management as management

    def go(ending, look=lambda done: None):
        def after_step(done):
            look(done)
            if ending == "cancelled" and done == 2:
                management.interrupt_current_processing(True)

        watched(after_step)
        given = {**parts, "image": image, "concepts": concepts, "steps": STEPS, "preview_every": 2}
        if ending == "finished":
            run("LearnConceptTokens", **given)
            return
        with pytest.raises(management.InterruptProcessingException):
            run("LearnConceptTokens", **given)

    return go


def living(*kinds):
    """Objects by their address; a few refuse to be asked for their class."""
    gc.collect()
    return {id(thing): thing for thing in gc.get_objects() if issubclass(type(thing), kinds)}


@pytest.mark.parametrize("ending", ["finished", "cancelled"])
def test_nothing_that_learning_made_outlives_it(train, ending):
    import comfy.model_patcher

    kinds = (torch.Tensor, comfy.model_patcher.ModelPatcher)
    train(ending)  # what is made once and kept is made now
    before, made = set(living(*kinds)), []

    def look(done):
        made.extend(weakref.ref(thing) for number, thing in living(*kinds).items() if number not in before)

    train(ending, look)
    gc.collect()
    assert len(made) > 10
    left = [thing for thing in (one() for one in made) if thing is not None]
    assert [type(thing) for thing in left] == []


@pytest.mark.parametrize("ending", ["finished", "cancelled"])
def test_every_block_of_memory_is_given_back(pack, train, ending):
    memory_of = pack("bench.cost.meters").memory_of
    train(ending)

    def job():
        train(ending)
        gc.collect()

    found = memory_of(job)
    assert found.peak > 20 * SMALL and abs(found.kept) < SMALL


def test_what_layers_compute_with_lies_over_their_weights(train, parts):
    """What autograd keeps of a weight is then no copy of it."""
    shared = []

    def look(done):
        with torch.inference_mode(False):
            for module in parts["model"].model.diffusion_model.modules():
                for constant in getattr(module, "weight_function", ()):
                    given = constant(module.weight.detach().clone())
                    shared.append(given.data_ptr() == module.weight.data_ptr() and not given.is_inference())

    train("finished", look)
    assert len(shared) > 50 and all(shared)


@pytest.mark.parametrize("ending", ["finished", "cancelled"])
def test_no_layer_keeps_what_gradients_needed(train, parts, ending):
    during, after = [], []

    def count(into):
        modules = [*parts["model"].model.modules(), *parts["clip"].cond_stage_model.modules()]
        into.append(sum(len(getattr(module, "weight_function", ())) for module in modules))

    train(ending, lambda done: count(during))
    count(after)
    assert min(during) > 0 and after == [0]


def loaded_during(monkeypatch, run, **given):
    """How many of MODEL and CLIP every call of ComfyUI's memory management asks for, until previews are drawn."""
    import comfy.model_management as management

    counts, stock = [], management.load_models_gpu
    monkeypatch.setattr(
        management,
        "load_models_gpu",
        lambda models, *args, **kwargs: (counts.append(len(models)), stock(models, *args, **kwargs))[1],
    )
    run("LearnConceptTokens", preview_every=0, **given)
    return counts[:-1]  # the last call gives the user's own models back


def test_while_cones_searches_only_one_of_the_models_is_needed(monkeypatch, run, parts, image, concepts, uninterrupted):
    asked = loaded_during(monkeypatch, run, **parts, image=image, concepts=concepts, method="cones", steps=3)
    assert len(asked) > 6 and set(asked) == {1}


def test_while_tokens_learn_through_both_models_both_stay_in_memory(
    monkeypatch, run, parts, image, concepts, uninterrupted
):
    asked = loaded_during(monkeypatch, run, **parts, image=image, concepts=concepts, method="conceptexpress", steps=3)
    assert asked.count(2) >= 3
