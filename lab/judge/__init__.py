"""Who says what a picture of the world shows: trained apart from the models it judges."""
