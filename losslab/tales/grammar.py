"""The grammar: a program that tells one story to a teller.

At each choice the alternatives begin differently, none of them a prefix of another, so that a finished story can be
read back in one way only. What is said later may depend on what was chosen, but the weights of a `pick` or `vary`
never do: only a `branch` changes the course.
"""

from losslab.tales.words import (
    ANIMALS,
    BEDS,
    COINS,
    COLORS,
    CRAFTS,
    ELDERS,
    FEARS,
    FOODS,
    FRIENDS,
    GIFTS,
    GREETINGS,
    HEROES,
    HOMES,
    JOBS,
    MARKS,
    PET_NAMES,
    PETS,
    PRIZES,
    SEEDS,
    SIGHTS,
    SKIES,
    SPOTS,
    TOYS,
    TRAITS,
    Hero,
    Home,
    Pet,
)


def tell(t) -> None:
    hero, home = _opening(t)
    pet, pal = _company(t, hero)
    plot = t.branch(
        (6, "\nOne "),
        (5, "\nMore than anything, "),
        (5, "\nOn Monday, "),
        (4, "\nThere was only one thing "),
        (5, "\nWalking to "),
        (3, "\nIn spring, "),
    )
    (_lost, _earned, _made, _afraid, _rescued, _grown)[plot](t, hero, home, pet, pal)
    _ending(t, hero, pal)


def _opening(t) -> tuple[Hero, Home]:
    form = t.branch((5, "Once upon a time, "), (3, "Not long ago, "), (3, "There once was "))
    if form == 2:
        t.pick(TRAITS)
        t.say(" child named ")
        hero = t.pick(HEROES)
        t.say(f". {hero.He} lived ")
        home = t.pick(HOMES)
        t.say(". ")
        return hero, home
    home = t.pick(HOMES)
    t.say(", there lived ")
    t.pick(TRAITS)
    t.say(" child named ")
    hero = t.pick(HEROES)
    t.say(". ")
    return hero, home


def _company(t, hero: Hero) -> tuple[Pet, str]:
    t.vary(
        (5, f"{hero.His} best friend was "),
        (3, f"Everywhere {hero.he} went, {hero.he} took "),
        (2, f"{hero.He} shared every secret with "),
    )
    pet = t.pick(PETS)
    t.say(" named ")
    pal = t.pick(PET_NAMES)
    t.say(". ")
    t.vary(
        (3, "They did everything together."),
        (2, f"{hero.text} and {pal} were never apart."),
        (2, f"Each morning {pal} woke {hero.him} up."),
    )
    aside = t.branch((4, f" {pal} had "), (3, f" {pal} loved "), (3, f" {pal} slept "))
    t.pick((MARKS, FOODS, BEDS)[aside])
    t.vary(
        (4, "."),
        (2, f", and so did {hero.text}." if aside == 1 else ", and snored." if aside == 2 else ", and knew it."),
    )
    return pet, pal


def _meeting(t, hero: Hero) -> None:
    """Somebody on the way, or nobody."""
    if t.branch((3, " On the way "), (2, " They did not stop")) == 1:
        t.vary((3, " to rest."), (2, f" until {hero.text} was out of breath."))
        return
    t.vary((3, "they passed "), (3, "they met "))
    t.pick(SIGHTS)
    t.say('. "')
    t.pick(GREETINGS)
    t.vary((4, '!" they heard.'), (3, f'!" called {hero.text}.'), (2, f'!" said {hero.text}.'))


def _lost(t, hero: Hero, home: Home, pet: Pet, pal: str) -> None:
    t.pick(SKIES)
    t.say(f" day, {hero.text} looked for {hero.his} ")
    color = t.pick(COLORS)
    toy = t.pick(TOYS)
    t.say(f". {hero.He} wanted to {toy.play} at {home.outside}. ")
    t.vary(
        (4, "But it was gone! "), (3, f"But the {toy.name} was not in its box. "), (2, "It was nowhere to be found. ")
    )
    t.vary(
        (3, f"{hero.He} looked under the bed and behind the door."),
        (2, f"{hero.He} searched the whole house."),
        (2, f"A tear ran down {hero.his} cheek."),
    )
    t.say('\n"Where did you see it last?" asked ')
    t.pick(ELDERS)
    t.say('. "')
    spot = t.pick(SPOTS)
    t.say(f'!" said {hero.text}. So they went {spot.there}.')
    _meeting(t, hero)
    t.vary((4, f" Suddenly {pal} {pet.sound}."), (3, f" {pal} ran ahead and {pet.sound}."))
    t.say(f" There, {spot.hidden}, lay the {color} {toy.name}! ")
    t.vary((3, f'"Good {pet.kind}!" cried {hero.text}, '), (2, f'"You found it!" laughed {hero.text}, '))
    t.say(f"and {pal} {pet.joy} with joy.")


def _earned(t, hero: Hero, home: Home, pet: Pet, pal: str) -> None:
    t.say(f"{hero.text} wanted the ")
    color = t.pick(COLORS)
    prize = t.pick(PRIZES)
    t.say(" in the shop window. It cost ")
    coins = t.pick(COINS)
    t.say(f" coins, and {hero.he} had only two. ")
    t.vary((3, f'"Then I will work for it," {hero.he} said.'), (2, f'"I will earn the rest," {hero.he} told {pal}.'))
    t.say(f"\n{hero.He} ")
    t.pick(JOBS)
    t.say(" for ")
    elder = t.pick(ELDERS)
    t.vary((4, f", and {elder.he} gave {hero.him} two coins. "), (2, f". {elder.He} paid {hero.him} well. "))
    t.vary(
        (3, f"{hero.He} worked every day after school."),
        (2, "It took a long time."),
        (2, f"{pal} helped, or tried to."),
    )
    t.say(f" Then {hero.he} ")
    t.pick(JOBS)
    t.say(" for ")
    t.pick(FRIENDS)
    t.vary((3, "'s mother. "), (2, "'s father. "), (1, "'s whole family. "))
    t.say(f"At last {hero.he} had {coins} coins, and the {color} {prize.name} belonged to {hero.him}! ")
    t.say(f"{hero.He} {prize.use}.")


def _made(t, hero: Hero, home: Home, pet: Pet, pal: str) -> None:
    t.say(f"{hero.text} decided to make ")
    craft = t.pick(CRAFTS)
    t.say(" for ")
    elder = t.pick(ELDERS)
    t.vary(
        (4, f". {hero.He} {craft.first}, but {craft.goes_wrong}. "),
        (3, f". It was meant as a surprise. {hero.He} {craft.first}, but {craft.goes_wrong}. "),
    )
    t.vary(
        (3, f'"I can not do it," {hero.he} sighed.'),
        (3, f"{hero.text} wanted to give up."),
        (2, f"{pal} hid under the table."),
    )
    t.say("\nThen ")
    friend = t.pick(FRIENDS)
    t.say(f' came by. "Nobody gets it right the first time," said {friend}. ')
    t.vary((3, '"Let us try again." '), (2, '"Two can do it better than one." '))
    t.say(f"This time they {craft.second}. ")
    t.vary((3, f"And look! The {craft.name} was perfect. "), (2, f"It was the best {craft.name} in the village. "))
    t.say(f"They carried it to {elder.text}.")
    _meeting(t, hero)
    t.say(f" {elder.text} ")
    t.vary((3, "hugged them both."), (2, "smiled from ear to ear."), (1, "could not stop laughing."))


def _afraid(t, hero: Hero, home: Home, pet: Pet, pal: str) -> None:
    t.say(f"that {hero.text} was afraid of: ")
    fear = t.pick(FEARS)
    t.say(f". {fear.when}, {hero.he} ")
    t.vary((3, f"hid behind {pal}. "), (2, f"closed {hero.his} eyes. "), (2, "ran away as fast as the wind. "))
    t.say('"Everybody is afraid of something," said ')
    t.pick(ELDERS)
    t.say(". ")
    t.vary((3, '"Take one small step."'), (2, '"Look at it again, slowly."'), (2, '"I will hold your hand."'))
    t.say("\nThe next ")
    t.vary((3, "evening"), (2, "morning"), (1, "week"))
    t.say(", they went to look together.")
    _meeting(t, hero)
    t.say(f" {hero.text} took a deep breath. {pal} stayed close. {hero.He} opened {hero.his} eyes, and {fear.truth}. ")
    t.vary(
        (3, f'"Is that all?" laughed {hero.text}.'),
        (2, f"{hero.text} felt ten feet tall."),
        (2, f"{hero.He} never ran away again."),
    )


def _rescued(t, hero: Hero, home: Home, pet: Pet, pal: str) -> None:
    t.say(f"{home.outside} on ")
    t.vary((3, "a sunny morning"), (3, "a cold afternoon"), (2, "a quiet evening"))
    t.say(f", {hero.text} and {pal} were in no hurry.")
    _meeting(t, hero)
    t.say(f" Then {hero.text} heard a soft cry. It was ")
    animal = t.pick(ANIMALS)
    t.say(f" {animal.stuck}. ")
    t.vary((3, f'"Do not be scared," whispered {hero.text}. '), (2, f'"I will help you," said {hero.text}. '))
    t.vary((3, f"Very gently {hero.he} {animal.help}. "), (2, f"{pal} watched while {hero.he} {animal.help}. "))
    t.say(f"The {animal.name} ")
    t.vary((3, "looked at them and was gone."), (2, "slipped away without a word."))
    t.say(f"\nBut the next day, {hero.text} found ")
    t.pick(GIFTS)
    t.say(" on the ")
    t.vary((3, "doorstep. "), (2, "window sill. "))
    t.vary(
        (3, f'"It is from the {animal.name}!" {hero.he} told {pal}.'),
        (2, f"{pal} {pet.sound}, as if to say who had been there."),
    )


def _grown(t, hero: Hero, home: Home, pet: Pet, pal: str) -> None:
    t.pick(ELDERS)
    t.say(f' gave {hero.text} a seed. "One day it will be ')
    plant = t.pick(SEEDS)
    t.vary((3, '," said the old voice, "if you can wait." '), (2, '," was the promise. '))
    t.say(f"{hero.text} carried it all the way to the garden.")
    _meeting(t, hero)
    t.say(f" {hero.He} planted it ")
    t.vary((4, "where the sun came first. "), (3, "between two stones. "), (2, "next to a puddle. "))
    t.vary((3, f"{hero.He} gave it water every day. "), (2, f"{hero.He} sang to it every evening. "))
    t.vary((3, "But nothing happened."), (2, "A week went by, and then another."))
    t.vary(
        (3, f"\nThen {pal} dug up the ground and {pet.sound}. "),
        (2, f"\nThen there was a storm, and {hero.text} ran outside. "),
    )
    t.say(f"There was a little green leaf! By the end of summer {plant} stood there, taller than {hero.text}. ")
    t.vary((3, f'"You were worth waiting for," {hero.he} said.'), (2, f"{hero.He} gave one seed to every friend."))


def _ending(t, hero: Hero, pal: str) -> None:
    form = t.branch((4, "\nThat night, "), (3, "\nFrom then on, "), (3, "\nAnd so "))
    if form == 0:
        t.vary(
            (3, f"{hero.text} slept well, and {pal} slept at {hero.his} feet."),
            (2, f"the moon looked in and saw {hero.text} smile."),
            (2, f"{pal} dreamed of tomorrow."),
        )
    elif form == 1:
        t.vary(
            (3, f"{hero.text} kept one eye open for small wonders."),
            (3, f"{hero.text} was never too shy to ask for help."),
            (2, f"people smiled when {hero.text} and {pal} came by."),
        )
    else:
        t.vary(
            (3, f"{hero.text} learned that small things matter."),
            (3, f"everyone was happy, and {pal} most of all."),
            (2, "the day ended better than it began."),
        )
