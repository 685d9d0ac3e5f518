"""What clicks on regions write into the inputs of Edit Concepts, and the words of our scripts: run in a browser."""

import pytest

PACK = "concept-atelier"


def test_no_language_lacks_a_word(page):
    words = page.js(
        """async pack => (await import(`/extensions/${pack}/js/words.js`)).languages()""",
        PACK,
    )
    assert {name for name, _ in words} == {"en", "de", "fr"}
    assert len({tuple(keys) for _, keys in words}) == 1


CASES = [
    ("toggled", ["a", {}], {"drop": "a"}),
    ("toggled", ["a", {"drop": "b, a"}], {"drop": "b"}),
    ("toggled", ["a", {"keep": "c, a"}], {"keep": "c"}),
    ("toggled", ["b", {"keep": "c, a", "drop": "b"}], {"keep": "c, a, b", "drop": ""}),
    ("toggled", ["b", {"merge": "a+b"}], {"merge": "a+b", "drop": "a, b"}),
    ("toggled", ["a", {"keep": "<a>"}], None),
    ("merged", [["c", "a"], {}], {"merge": "c+a"}),
    ("merged", [["c", "a"], {"merge": "a+b"}], {"merge": "c+a+b"}),
    ("merged", [["a", "b"], {"drop": "b"}], {"merge": "a+b", "drop": ""}),
    ("merged", [["a"], {}], None),
    ("renamed", ["b", "<cat>", {"merge": "a+b"}], {"merge": "a+b", "rename": "a=cat"}),
    ("renamed", ["a", "a", {"rename": "a=cat, c=dog"}], {"rename": "c=dog"}),
    ("renamed", ["a", "b", {"drop": "b"}], {"drop": "b", "rename": "a=b"}),
    ("renamed", ["a", "b", {}], None),
    ("renamed", ["a", "", {}], None),
]


@pytest.fixture(scope="module")
def choices(server, browser):
    """Call a function of choices.js on the concepts a, b and c; inputs that are not given are empty."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(server.url + "/system_stats")

    def call(name, *given):
        return tab.evaluate(
            """async ([pack, name, given]) => {
                const choices = await import(`/extensions/${pack}/js/choices.js`);
                const texts = { keep: '', drop: '', merge: '', rename: '', ...given.pop() };
                return choices[name](['a', 'b', 'c'], texts, ...given); }""",
            [PACK, name, list(given)],
        )

    yield call
    context.close()


@pytest.mark.parametrize(("name", "given", "expected"), CASES)
def test_choices(choices, name, given, expected):
    texts = {"keep": "", "drop": "", "merge": "", "rename": ""}
    assert choices(name, *given) == (expected and texts | given[-1] | expected)
