"""The words of the tales: who, where, what, and what goes with it."""

from typing import NamedTuple

from losslab.tales.tellers import Table


class Hero(NamedTuple):
    text: str
    he: str
    him: str
    his: str
    He: str
    His: str


class Home(NamedTuple):
    text: str  # where the hero lives
    outside: str  # where things happen


class Pet(NamedTuple):
    text: str
    kind: str
    sound: str  # what it does when it finds something
    joy: str  # what it does when it is glad


class Toy(NamedTuple):
    text: str
    name: str
    play: str


class Spot(NamedTuple):
    text: str  # where it is remembered
    there: str
    hidden: str


class Prize(NamedTuple):
    text: str
    name: str
    use: str


class Craft(NamedTuple):
    text: str  # what is made
    name: str
    first: str
    goes_wrong: str
    second: str


class Fear(NamedTuple):
    text: str
    when: str
    truth: str


class Animal(NamedTuple):
    text: str
    name: str
    stuck: str
    help: str


class Elder(NamedTuple):
    text: str
    He: str
    he: str


def _heroes(names: str, *words: str) -> list[Hero]:
    return [Hero(name, *words) for name in names.split()]


_GIRLS = _heroes(
    "Mia Anna Lucy Nora Ella Ruby Ivy Clara Zoe Hana Sofia Maya Rosa June Freya Tilly Wren Alba Nina Greta",
    "she",
    "her",
    "her",
    "She",
    "Her",
)
_BOYS = _heroes(
    "Tom Ben Sam Leo Max Finn Omar Jack Noah Hugo Eli Theo Oscar Felix Jonas Arlo Milo Ravi Luca Emil",
    "he",
    "him",
    "his",
    "He",
    "His",
)
HEROES = Table(
    *(hero for pair in zip(_GIRLS, _BOYS, strict=True) for hero in pair),
    weights=[12 - place // 5 for place in range(40)],
)
TRAITS = Table(
    "a brave",
    "a curious",
    "a kind",
    "a quiet",
    "a cheerful",
    "a clever",
    "a gentle",
    "a stubborn",
    "a patient",
    "a dreamy",
    "a merry",
    "a thoughtful",
    weights=[6, 6, 6, 4, 4, 4, 3, 2, 3, 2, 3, 2],
)
HOMES = Table(
    Home("in a small house by the sea", "the beach"),
    Home("in a village near the woods", "the edge of the woods"),
    Home("on a farm with a red barn", "the barn"),
    Home("in a tall house in the city", "the park"),
    Home("at the edge of a green valley", "the meadow"),
    Home("next to an old mill", "the river"),
    weights=[5, 5, 4, 4, 3, 2],
)
PETS = Table(
    Pet("a puppy", "puppy", "barked", "wagged"),
    Pet("a kitten", "kitten", "meowed", "purred"),
    Pet("a duck", "duck", "quacked", "flapped"),
    Pet("a pony", "pony", "neighed", "stamped"),
    Pet("an old dog", "dog", "woofed", "danced"),
    weights=[6, 5, 3, 2, 2],
)
PET_NAMES = Table(
    "Biscuit",
    "Pepper",
    "Button",
    "Clover",
    "Waffles",
    "Mister Green",
    "Daisy",
    "Pumpkin",
    "Socks",
    "Plum",
    "Captain",
    "Honey",
    weights=[5, 4, 4, 3, 2, 1, 3, 3, 2, 2, 2, 3],
)
MARKS = Table(
    "one black ear",
    "a white nose",
    "very big feet",
    "a crooked tail",
    "eyes like two brown beads",
    "a spot on one side",
    weights=[5, 5, 3, 3, 2, 2],
)
FOODS = Table(
    "apples",
    "bread crusts",
    "carrots",
    "cheese",
    "warm milk",
    "pancakes",
    "peas",
    "oatmeal",
    weights=[5, 4, 4, 4, 3, 3, 2, 2],
)
BEDS = Table(
    "under the stairs",
    "in a basket",
    "on top of the stove",
    "behind the door",
    "in an old boot",
    weights=[4, 5, 3, 3, 2],
)
SIGHTS = Table(
    "a man with a ladder",
    "two women with a cart of hay",
    "a baker carrying a tray of rolls",
    "a boy selling newspapers",
    "a goat with a bell",
    "a line of geese",
    "a girl on a tall horse",
    "an old sailor with a pipe",
    weights=[4, 4, 4, 3, 3, 3, 2, 2],
)
GREETINGS = Table("Good luck", "Good day", "Hurry along", "Mind the puddles", "What a day", weights=[4, 5, 2, 3, 3])
COLORS = Table(
    "red",
    "blue",
    "yellow",
    "green",
    "silver",
    "striped",
    "orange",
    "purple",
    "white",
    weights=[6, 6, 4, 4, 2, 2, 3, 2, 3],
)
TOYS = Table(
    Toy(" kite", "kite", "fly it"),
    Toy(" ball", "ball", "bounce it"),
    Toy(" boat", "boat", "sail it"),
    Toy(" drum", "drum", "play it"),
    Toy(" train", "train", "pull it along"),
    weights=[5, 5, 4, 2, 3],
)
SKIES = Table("sunny", "windy", "cloudy", "cold", "rainy", weights=[6, 4, 3, 2, 2])
ELDERS = Table(
    Elder("Grandma Rose", "She", "she"),
    Elder("Grandpa Joe", "He", "he"),
    Elder("Aunt Lily", "She", "she"),
    Elder("Uncle Ned", "He", "he"),
    weights=[5, 5, 3, 2],
)
FRIENDS = Table("Pia", "Rob", "Lena", "Kai", "Amy", "Gus", "Tara", "Otto", "Bella", "Yusuf")
SPOTS = Table(
    Spot("By the pond", "to the pond", "in the tall grass"),
    Spot("Under the old oak", "to the oak", "between two roots"),
    Spot("At the market", "to the market", "under a table of apples"),
    Spot("Near the bridge", "to the bridge", "on a flat stone"),
    Spot("In the garden", "to the garden", "behind a big pumpkin"),
    weights=[5, 5, 3, 3, 4],
)
PRIZES = Table(
    Prize(" bicycle", "bicycle", "rode it all the way home"),
    Prize(" lantern", "lantern", "lit it that very night"),
    Prize(" music box", "music box", "listened to it until bedtime"),
    Prize(" sled", "sled", "waited for the first snow"),
    weights=[5, 3, 3, 2],
)
JOBS = Table(
    "swept the yard",
    "fed the hens",
    "carried water",
    "picked apples",
    "washed the windows",
    "raked the leaves",
    weights=[5, 4, 3, 3, 2, 4],
)
COINS = Table("ten", "twelve", "fifteen", "twenty", "thirty", weights=[6, 3, 3, 2, 1])
CRAFTS = Table(
    Craft("a cake", "cake", "mixed the flour and the eggs", "it came out flat", "let it bake a little longer"),
    Craft(
        "a tree house", "tree house", "carried the boards to the tree", "it leaned to one side", "used stronger rope"
    ),
    Craft("a scarf", "scarf", "counted the stitches", "it had a big hole", "went more slowly"),
    Craft("a bird house", "bird house", "cut the wood", "the roof fell off", "put in more nails"),
    weights=[5, 4, 3, 3],
)
FEARS = Table(
    Fear("the dark", "When the light went out", "it was only a coat on a chair"),
    Fear("thunder", "When the sky grumbled", "it was only two clouds bumping their heads"),
    Fear("the big dog next door", "When the gate opened", "it was only a lonely dog with a soft nose"),
    Fear("deep water", "When the waves came close", "it was only water, cool and friendly"),
    weights=[5, 4, 3, 3],
)
ANIMALS = Table(
    Animal("a tiny bird", "bird", "with one wing caught in a bush", "bent the branches back"),
    Animal("a small turtle", "turtle", "lying on its back", "turned it over"),
    Animal("a baby fox", "fox", "stuck under a fence", "dug away the sand"),
    Animal("a gray rabbit", "rabbit", "with one foot in a net", "untied the knots"),
    weights=[5, 4, 3, 4],
)
SEEDS = Table("a sunflower", "a bean plant", "a pumpkin", "an apple tree", weights=[5, 4, 3, 2])
GIFTS = Table(
    "a shiny button",
    "a white feather",
    "a smooth stone",
    "three sweet berries",
    "a golden leaf",
    "a tiny bell",
    weights=[4, 4, 3, 3, 2, 2],
)
