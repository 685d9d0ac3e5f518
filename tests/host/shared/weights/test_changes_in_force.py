"""Changes for the length of a context, and a moment of them that is computed again later."""

from concept_atelier.host.shared.weights.changes_in_force import ChangesInForce


def test_a_moment_of_all_changes_comes_back_and_goes_again():
    changes = ChangesInForce()
    with changes.adapted({"one": "of the denoiser"}), changes.text_changed({"clip_l": {"two": "of the text"}}):
        restore = changes.remembered()
    with changes.text_changed({"clip_l": {"two": "a later one"}}):
        assert changes.of_weight("one") == [] and changes.of_text("clip_l", "two") == ["a later one"]
        with restore():
            assert changes.of_weight("one") == ["of the denoiser"]
            assert changes.of_text("clip_l", "two") == ["of the text"]
        assert changes.of_weight("one") == [] and changes.of_text("clip_l", "two") == ["a later one"]
