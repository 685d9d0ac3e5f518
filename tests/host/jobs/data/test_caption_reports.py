import pytest

from concept_atelier.host.jobs.data.caption_reports import weights_of_pictures


def test_numbers_are_weights_in_their_order():
    assert weights_of_pictures("1\n0.25\n\n0\n") == (0, (1.0, 0.25, 0.0))
    assert weights_of_pictures("1, 0.5, 0") == (0, (1.0, 0.5, 0.0))
    assert weights_of_pictures(" \n") == (0, ())
    assert weights_of_pictures("adaptive") == (2.0, ())
    assert weights_of_pictures("adaptive = 0.5, 1, 0") == (0.5, (1.0, 0.0))


def test_tables_are_brought_to_the_order_of_the_pictures():
    noise = "picture,weight,verdict,number\nb.png,0.1,replace,2\na.png,0.9,keep,1\n"
    assert weights_of_pictures(noise) == (0, (0.9, 0.1))
    assert weights_of_pictures("adaptive\n" + noise) == (2.0, (0.9, 0.1))
    assert weights_of_pictures("picture,label,consistency\n2,0.3,0.7\n1,0.6,0.4\n") == (0, (0.6, 0.3))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\nmuch", "'much' is no weight"),
        ("adaptive=fast", "'fast' is no weight"),
        ("picture,label,consistency\na.png,0.3,0.7\n", "must number them from 1"),
        ("picture,label,consistency\n1\n", "shorter than its heading"),
    ],
)
def test_what_is_no_weight_is_named(text, said):
    with pytest.raises(ValueError, match=said):
        weights_of_pictures(text)
