"""Contexts made of several prompts: which words are in which columns, read from the rows alone."""

import pytest
import torch

from concept_atelier.core.attribute.mixtures import Prompt, unmix
from concept_atelier.core.backbone import Token, TokenizedText

LENGTH, WIDTH = 8, 64
CAT, DOG = "a cat sits", "a dog on hay"


@pytest.fixture
def encoder(generator):
    """Rows that depend on all tokens up to theirs, as a causal text encoder's, with a large share that all have."""
    table = {}
    common = 20 * torch.randn(WIDTH, generator=generator)

    def go(text, chunks=1):
        words = text.split()
        rows = []
        for position in range(LENGTH * chunks):
            key = (position % LENGTH, *words[: max(0, position - position // LENGTH)][-6:])
            if key not in table:
                table[key] = common + torch.randn(WIDTH, generator=generator)
            rows.append(table[key])
        tokens = tuple(Token(word, at, at) for at, word in enumerate(words, 1))
        return Prompt(TokenizedText(tokens, start=0, end=len(words) + 1, length=len(rows)), torch.stack(rows))

    return go


@pytest.fixture
def prompts(encoder):
    return [encoder(CAT), encoder(DOG)]


@pytest.fixture
def read(encoder, prompts):
    return lambda context, **more: unmix(context, prompts, encoder("").rows, **more)


def columns(mixed, word):
    return {column: round(weight, 3) for column, weight in mixed.columns_of(word).items()}


def test_prompts_one_behind_another(read, prompts):
    mixed = read(torch.cat([prompts[1].rows, prompts[0].rows]))
    assert columns(mixed, "dog") == {2: 1.0} and columns(mixed, "cat") == {LENGTH + 2: 1.0}
    assert columns(mixed, "on hay") == {3: 1.0, 4: 1.0}
    assert columns(mixed, "a") == {1: 1.0, LENGTH + 1: 1.0}, "both prompts begin with it"


def test_an_average(read, prompts):
    mixed = read(0.7 * prompts[0].rows + 0.3 * prompts[1].rows)
    assert columns(mixed, "cat") == {2: 0.7} and columns(mixed, "dog") == {2: 0.3}
    assert columns(mixed, "a") == {1: 1.0}


@pytest.mark.parametrize("rule", ["towards the empty prompt", "times the row"])
def test_words_with_weights_by_either_rule(read, prompts, encoder, rule):
    context, empty = prompts[0].rows.clone(), encoder("").rows
    context[2] = empty[2] + 1.4 * (context[2] - empty[2]) if rule == "towards the empty prompt" else 1.4 * context[2]
    mixed = read(context * (0.9 if rule == "times the row" else 1))  # which the other rule follows by the mean's
    expected = (1.4, 1.0) if rule == "towards the empty prompt" else (1.26, 0.9)
    assert (columns(mixed, "cat")[2], columns(mixed, "sits")[3]) == expected


def test_what_is_no_sum_of_the_prompts_is_not_reported(read, prompts, encoder, generator):
    context = prompts[0].rows.clone()
    context[2] = encoder("a cow sits").rows[2]
    assert [token.text for token in read(context).text.tokens].count("cat") == 0
    with pytest.raises(ValueError, match="'cat' is not in the text; its words are: a, sits"):
        read(context).columns_of("cat")
    noisy = prompts[0].rows + 0.2 * torch.randn(LENGTH, WIDTH, generator=generator)
    assert read(noisy).text.tokens == ()
    assert read(torch.zeros(LENGTH, WIDTH)).text.tokens == ()
    assert read(encoder("").rows).text.tokens == ()


def test_rounding_does_not_matter(read, prompts):
    assert columns(read(prompts[0].rows.half().float()), "cat")[2] == pytest.approx(1, abs=0.01)


def test_two_encoders_may_have_read_two_prompts(read, prompts):
    half = WIDTH // 2
    context = torch.cat([prompts[0].rows[:, :half], prompts[1].rows[:, half:]], dim=1)
    assert not {"cat", "dog"} & {token.text for token in read(context).text.tokens}
    mixed = read(context, widths=(half, half))
    assert columns(mixed, "cat") == {2: 0.5} and columns(mixed, "dog") == {2: 0.5}


def test_a_prompt_of_two_chunks(encoder):
    long, short = encoder("one two three four five six seven eight", chunks=2), encoder("a cat")
    mixed = unmix(torch.cat([short.rows, long.rows]), [short, long], encoder("").rows)
    assert columns(mixed, "cat") == {2: 1.0} and columns(mixed, "two") == {LENGTH + 2: 1.0}


def test_a_word_of_several_tokens_is_there_whole_or_not_at_all(encoder):
    cat = encoder("hip po potam")
    tokens = tuple(Token(token.text, token.position, 0) for token in cat.text.tokens)
    prompt = Prompt(TokenizedText(tokens, 0, 4, LENGTH), cat.rows)
    context = cat.rows.clone()
    assert columns(unmix(context, [prompt], encoder("").rows), "hippopotam") == {1: 1.0, 2: 1.0, 3: 1.0}
    context[3] = -context[3]
    assert unmix(context, [prompt], encoder("").rows).text.tokens == ()
