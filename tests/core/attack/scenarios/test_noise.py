from concept_atelier.core.attack.run import attack


def test_new_noise_in_the_middle_leads_elsewhere_than_the_name_alone(task):
    name, renewed = (outcome.attempt.erased for outcome in attack(task(), ["names", "noise"]).outcomes)
    assert float((name - renewed).abs().mean()) > 0.01
