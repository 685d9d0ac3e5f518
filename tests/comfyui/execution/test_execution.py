"""Workflows through ComfyUI's own executor and its cache: what runs again, what does not, and what cancel leaves."""

import pytest
import torch

TEXT = "a cat and a rocket on blue"
SAMPLING = {"steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def words_workflow(seed=1, words="cat"):
    """Sample a captured MODEL, and show where words land."""
    return {
        "load": node("ConceptAtelierLoadLabModel"),
        "capture": capture_of("load"),
        "positive": node("CLIPTextEncode", clip=["load", 1], text=TEXT),
        "negative": node("CLIPTextEncode", clip=["load", 1], text=""),
        "latent": node("EmptyLatentImage", width=128, height=96, batch_size=1),
        "sample": sampler_of("capture", "latent", seed),
        "show": show_of("sample", words),
        "keep samples": node("Keep", name="samples", samples=["sample", 0]),
        "keep masks": node("Keep", name="masks", masks=["show", 1]),
        "keep capture": node("Keep", name="capture", capture=["capture", 1]),
    }


def two_samplers_workflow(seed=1, first="capture", second="capture"):
    """The same, and its latent upscaled and sampled again, by default on the one captured MODEL."""
    return words_workflow(1) | {
        "other capture": capture_of("load"),
        "sample": sampler_of(first, "latent", 1),
        "larger": node(
            "LatentUpscale", samples=["sample", 0], upscale_method="bilinear", width=192, height=144, crop="disabled"
        ),
        "second": sampler_of(second, "larger", seed, denoise=0.6),
        "show second": show_of("second", "cat", second),
        "keep second": node("Keep", name="second", masks=["show second", 1]),
    }


def three_samplers_workflow():
    """Three samplers on the one captured MODEL; the third is another node that gives what the second gave."""
    ends = {"add_noise": "enable", "return_with_leftover_noise": "disable", "start_at_step": 0, "end_at_step": 10000}
    third = sampler_of("capture", "sample", 2)["inputs"]
    third = {"noise_seed": third.pop("seed")} | {name: value for name, value in third.items() if name != "denoise"}
    return words_workflow(1) | {
        "second": sampler_of("capture", "sample", 2),
        "third": node("KSamplerAdvanced", **third, **ends),
        "show second": show_of("second", "cat"),
        "show third": show_of("third", "cat"),
        "keep second": node("Keep", name="second", samples=["second", 0]),
        "keep third": node("Keep", name="third", samples=["third", 0]),
        "keep second masks": node("Keep", name="second masks", masks=["show second", 1]),
        "keep third masks": node("Keep", name="third masks", masks=["show third", 1]),
    }


def capture_of(model):
    settings = {"least_grid": 1, "greatest_grid": 64, "stages": "all", "start_percent": 0.0, "end_percent": 1.0}
    return node("ConceptAtelierCaptureAttention", model=[model, 0], **settings)


def sampler_of(model, latent, seed, **changes):
    wires = {"model": [model, 0], "positive": ["positive", 0], "negative": ["negative", 0], "latent_image": [latent, 0]}
    return node("KSampler", **wires, seed=seed, **(SAMPLING | changes))


def show_of(sampler, words, capture="capture"):
    wires = {"capture": [capture, 1], "clip": ["load", 1], "samples": [sampler, 0]}
    settings = {"normalise": "absolute", "per_cell": False}
    return node("ConceptAtelierShowWordHeatmap", **wires, text=TEXT, words=words, **settings)


def afresh(executor, prompt):
    """What the prompt gives with nothing cached."""
    return executor().run(prompt)[0]


def counts(kept):
    return [part.maps.cross_counts for run in kept["capture"].runs for part in run.parts]


def test_a_new_seed_is_shown_and_not_the_old_maps(executor):
    one = executor()
    old, _ = one.run(words_workflow(seed=1))
    new, ran = one.run(words_workflow(seed=2))
    assert ran == {"sample", "show", "keep samples", "keep masks"}
    assert not torch.equal(new["masks"], old["masks"])
    assert torch.equal(new["masks"], afresh(executor, words_workflow(seed=2))["masks"])


def test_new_words_do_not_sample_again(executor):
    one = executor()
    old, _ = one.run(words_workflow(words="cat"))
    new, ran = one.run(words_workflow(words="rocket"))
    assert ran == {"show", "keep masks"}
    assert not torch.equal(new["masks"], old["masks"])
    assert torch.equal(new["masks"], afresh(executor, words_workflow(words="rocket"))["masks"])


def test_a_prompt_that_is_queued_again_runs_nothing(executor):
    one = executor()
    one.run(words_workflow())
    assert one.run(words_workflow())[1] == set()


def test_cached_nodes_are_not_counted_twice(executor):
    """The captured MODEL stays in the cache while seeds change around it, and an older one comes back."""
    one, seen = executor(), []
    for seed in (1, 2, 1):
        kept, _ = one.run(words_workflow(seed))
        seen.append(kept["masks"])
    assert torch.equal(seen[0], seen[2]) and not torch.equal(seen[0], seen[1])
    alone = counts(afresh(executor, words_workflow(1)))
    assert alone and len(kept["capture"].runs) == 2 and counts(kept) == alone * 2


def test_two_samplers_on_one_captured_model_are_kept_apart(executor):
    one = executor()
    both, _ = one.run(two_samplers_workflow())
    assert torch.equal(both["masks"], afresh(executor, words_workflow(1))["masks"])
    apart = afresh(executor, two_samplers_workflow(second="other capture"))
    assert torch.equal(both["second"], apart["second"]) and both["second"].shape == (1, 144, 192)
    assert torch.equal(both["masks"], apart["masks"])
    changed, ran = one.run(two_samplers_workflow(seed=2))
    assert ran == {"second", "show second", "keep second"}
    assert not torch.equal(changed["second"], both["second"])


def test_an_earlier_seed_comes_again_after_others(executor):
    """Its run replaces the one that gave the same picture before, wherever that stands among those remembered."""
    one = executor()
    seen = {seed: one.run(words_workflow(seed))[0] for seed in (1, 2, 3)}
    again, ran = one.run(words_workflow(2))
    assert "sample" in ran and len(again["capture"].runs) == 3
    assert torch.equal(again["masks"], seen[2]["masks"]) and not torch.equal(again["masks"], seen[3]["masks"])


def test_a_third_sampler_repeats_the_second(executor):
    kept, ran = executor().run(three_samplers_workflow())
    assert {"sample", "second", "third"} <= ran
    assert torch.equal(kept["third"]["samples"], kept["second"]["samples"])
    assert len(kept["capture"].runs) == 2
    assert torch.equal(kept["third masks"], kept["second masks"])
    assert not torch.equal(kept["third masks"], kept["masks"])


def atelier_workflow(image):
    """The same, and beside it a picture, its concepts and a token for each."""
    parts = {"model": ["load", 0], "clip": ["load", 1], "vae": ["load", 2]}
    localize = {"preset": "small_grid", "min_clusters": 0, "saliency_threshold": -1.0, "merge_threshold": -1.0}
    localize |= {"adjacency": True, "count": 2, "max_concepts": 2, "seed": 0}
    localize |= {"outline": "as preset", "neighbour_reach": -1.0}
    learn = {
        "method": "conceptexpress",
        "preset": "lab",
        "steps": 4,
        "learning_rate": 0.005,
        "attention_weight": 0.01,
        "flip": 0.5,
    }
    learn |= {
        "start_words": "",
        "class_words": "",
        "class_weight": -1.0,
        "template": "a photo of {}",
        "preview_every": 0,
        "keep_every": 0,
        "seed": 0,
    }
    return words_workflow() | {
        "picture": node("LoadImage", image=image),
        "localize": node("ConceptAtelierLocalizeConcepts", **parts, image=["picture", 0], **localize),
        "learn": node(
            "ConceptAtelierLearnConceptTokens", **parts, image=["picture", 0], concepts=["localize", 0], **learn
        ),
        "keep concepts": node("Keep", name="concepts", concepts=["localize", 0]),
        "keep tokens": node("Keep", name="tokens", tokens=["learn", 0]),
    }


def test_presets_are_valid_by_the_names_that_api_files_have_saved(executor):
    prompt = atelier_workflow("two_things.png")
    assert {prompt[key]["inputs"]["preset"] for key in ("localize", "learn")} == {"small_grid", "lab"}
    valid, error, outputs, problems = executor().check(prompt)
    assert valid and not problems, (error, problems)
    prompt["learn"]["inputs"]["preset"] = "labb"
    problems = executor().check(prompt)[3]
    errors = problems["learn"]["errors"]  # one for each input that the node looks at itself
    assert errors and all(one["type"] == "custom_validation_failed" for one in errors)
    assert all("expected one of" in one["details"] for one in errors)


def test_a_missing_embedding_is_refused_before_anything_is_computed_and_other_outputs_run(executor, comfyui, tmp_path):
    import folder_paths
    from safetensors.torch import save_file

    save_file({"emb_params": torch.zeros(1, 192)}, tmp_path / "there.safetensors")
    folder_paths.add_model_folder_path("embeddings", str(tmp_path))
    parts = {
        "model": ["load", 0],
        "clip": ["load", 1],
        "anchors": "",
        "preserve": "",
        "strength": 1.0,
        "preset": "small",
    }
    parts |= {"damping": 0.5, "preserve_scale": 1.0, "projections": "both"}
    prompt = {"load": node("ConceptAtelierLoadLabModel")}
    for key, words in {"found": "embedding:there", "missing": "cat, embedding:nowhere"}.items():
        prompt[key] = node("ConceptAtelierEraseConcepts", **parts, concepts=words)
        prompt[f"save {key}"] = node("ConceptAtelierSaveErasureAsLora", erasure=[key, 1], name=key)
    prompt["tokens"] = node("ConceptAtelierLoadConceptTokens", clip=["load", 1], names="there, gone")
    prompt["save tokens"] = node("ConceptAtelierSaveConceptTokens", tokens=["tokens", 0], prefix="again")
    valid, error, outputs, problems = executor().check(prompt)
    assert valid and outputs == ["save found"], (error, problems)
    (gone,) = problems["tokens"]["errors"]
    assert "no file in embeddings named 'gone.safetensors'; looked in" in gone["details"]
    assert "there.safetensors" in gone["details"].split("; there are ")[1]
    for problem in problems["missing"]["errors"]:  # the server says it once for every input that was looked at
        assert problem["type"] == "custom_validation_failed"
        assert "concepts: no embedding named 'nowhere'; looked in" in problem["details"]


@pytest.mark.parametrize(("total", "where"), [(2, "sample"), (9, "localize"), (4, "learn")])
def test_a_cancelled_prompt_leaves_no_trace(executor, bar, total, where):
    """Cancelled at a step of each long node, the same executor then gives what one gives that was never cancelled."""
    prompt = atelier_workflow("two_things.png")
    expected = afresh(executor, prompt)
    one = executor()
    bar.cancel_at, bar.cancel_total = 1, total
    said = one.go(prompt)
    assert said["execution_interrupted"]["node_id"] == where
    bar.cancel_at = None
    got, ran = one.run(prompt)
    assert where in ran
    assert torch.equal(got["samples"]["samples"], expected["samples"]["samples"])
    assert torch.equal(got["masks"], expected["masks"])
    assert torch.equal(got["concepts"].masks, expected["concepts"].masks)
    assert torch.equal(got["concepts"].targets, expected["concepts"].targets)
    for name, vectors in expected["tokens"].vectors.items():
        assert all(got["tokens"].vectors[name][encoder].equal(rows) for encoder, rows in vectors.items())
