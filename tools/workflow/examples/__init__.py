"""The builders of the example workflows, by subject."""
