"""Common things with short English names: words that a token may start from when none is given.

Chosen to span everyday things, living and made, not to match any data set; a word that a model does not know as one
token is passed over.
"""

_TEXT = """
ant apple anchor backpack ball balloon banana barn basket bat bear bed bee bell bench bicycle bird boat book boot
bottle bowl box bread bridge broccoli brush bucket bus butterfly button cabbage cactus cage cake camel camera
candle candy car carrot castle cat chair cheese cherry chicken church clock cloud coat coffee coin cookie corn
couch cow crab crown cup deer desk dinosaur dog doll dolphin donkey donut door dragon dress drum duck eagle egg
elephant eye face fan feather fence fire fish flag flower fly football fork fox frog fruit ghost giraffe glass
glove goat goose grape grass guitar hamburger hammer hand hat heart helicopter helmet hen horse house insect
island jar kangaroo key kite knife ladder lamp leaf lemon lion lizard lobster lock man map mask monkey moon
motorcycle mountain mouse mug mushroom necklace needle nest nut octopus onion orange owl panda parrot peach pear
pen penguin pepper phone piano pig pillow pineapple pizza plane plant plate potato pumpkin rabbit rainbow ring
river road robot rock rocket rope rose sailboat salad sandwich scissors shark sheep shell ship shirt shoe skull
snail snake sofa spider spoon squirrel star statue strawberry suitcase sun sunflower sword table tea teapot teddy
telephone tent tiger tomato tower toy tractor train tree truck trumpet turtle umbrella unicorn vase vegetable
violin wagon wall watch water watermelon whale wheel window wolf woman worm zebra
"""
NOUNS = tuple(_TEXT.split())
