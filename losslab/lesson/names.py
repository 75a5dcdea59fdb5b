"""Names to learn from, and their letters as tokens."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losslab import untrusted
from losslab.lesson.model import NUM_POSITIONS
from losslab.words import printable, shorten

MOST_BYTES = 2**24  # a million names or two
MOST_CHARACTERS = 20_000  # distinct ones: all that Chinese names are written with
LISTED = 30  # characters of an alphabet, in prose
MARKS = "·•¶"  # stand for the one token before and after a name; the first that no name has is taken

EMBEDDED = """
ada agnes aisha albert alice alma amara amina amir anders andrea angela anika anna anton aria arthur asha astrid ava
axel beatrice bella ben bianca boris bruno camila carl carmen cecilia charlotte chloe clara claude cleo colin cora
cyrus daisy dana daniel daria david deborah diego dina dominic dora dylan edgar edith eleanor elena eli elias eliza
ella elsa emil emilia emma eric esther ethan eva evelyn felix fiona flora frank frida gabriel gemma george grace greta
gustav hana hannah harry hazel hector heidi helen henry hope hugo ian ida ines ingrid irene iris isaac isabel ivan ivy
jack jacob james jana jane jasmin jasper joan joel johanna john jonas joseph josephine judith julia julian june kai
karen karim katherine keiko kira klara kofi lara lars laura layla lea lena leo leon lila lily lina linus lisa louis
louise lucas lucia lucy luna lydia maja malik mara marco margaret maria marie marina mark martha martin mateo matilda
maurice max maya mia michael mila milo mina mira miriam mohammed mona nadia naomi nathan nell nia nicholas nina noah
noel nora oliver olivia omar oscar otto pablo paul paula peter petra philip phoebe pia quentin quinn rachel ralph ravi
rebecca rita robert robin rosa rose ruben ruth sam samuel sara sasha selma sera silas simon sofia sonia sophie stella
susan sven sylvia tara tess theo theresa thomas tilda tim tom ursula valentin vera victor vincent viola violet
walter wanda wendy willow xavier xenia yara yasmin yusuf yvonne zara zelda zoe zora
"""  # fmt: skip


@dataclass(frozen=True)
class Names:
    """Names and their alphabet.

    Args:
        names: in the order of their file.
        source: where they come from, for people.
    """

    names: tuple[str, ...]
    source: str

    def __post_init__(self):
        characters = sorted(set().union(*self.names))
        object.__setattr__(self, "characters", characters)
        object.__setattr__(self, "_ids", {character: token for token, character in enumerate(characters)})

    @property
    def end(self) -> int:
        """The token that stands before and after each name."""
        return len(self.characters)

    @property
    def vocab_size(self) -> int:
        return len(self.characters) + 1

    @property
    def mark(self) -> str:
        """How `end` is shown."""
        return next((mark for mark in MARKS if mark not in self._ids), "END")

    @property
    def vocabulary(self) -> list[str]:
        """Every token as it is shown, by its id."""
        return [*map(seen, self.characters), self.mark]

    @property
    def cut(self) -> int:
        """How many names are too long for the positions of the model, which learns their beginnings alone."""
        return sum(len(name) >= NUM_POSITIONS for name in self.names)

    def tokens(self, name: str) -> list[int]:
        """A name as the model meets it: the end mark, its letters, the end mark.

        Raises:
            ValueError: for no letter, or a letter that no name of the file has.
        """
        name = unicodedata.normalize("NFC", name.strip())
        if not name:
            raise ValueError(f"a name needs at least one of the letters of {self.source}: {self.alphabet()}")
        if unknown := sorted(set(name) - self._ids.keys()):
            others = (name.lower(), name.title(), name.upper())
            near = next((other for other in others if not set(other) - self._ids.keys()), "")
            ask = f"; did you mean {printable(near)}?" if near else "; give a name in these letters"
            raise ValueError(f"{shorten(printable(name), 40)} has {_list(unknown)}, not among the characters of "
                             f"{self.source}: {self.alphabet()}{ask}")
        return [self.end, *(self._ids[letter] for letter in name), self.end]

    def text(self, tokens: Sequence[int]) -> str:
        """The letters of tokens, without end marks."""
        return "".join(self.characters[token] for token in tokens if token != self.end)

    def spelled(self, text: str) -> list[str]:
        """Letters as they are shown, the end mark first."""
        return [self.mark, *map(seen, text)]

    def alphabet(self) -> str:
        """Its letters in a few words."""
        if self.characters == list("abcdefghijklmnopqrstuvwxyz"):
            return "a to z"
        few, more = _list(self.characters[:LISTED]), len(self.characters) - LISTED
        return f"{few} and {more:,} more" if more > 0 else few


def seen(character: str) -> str:
    """A character as it can be seen: a space as ␣, what moves a cursor as its escape, an accent on a circle."""
    if character.isspace() and character.isprintable():
        return "␣"
    return f"◌{character}" if unicodedata.combining(character) else printable(character)


def _list(characters: Sequence[str]) -> str:
    return " ".join(map(seen, characters[:LISTED]))


def embedded() -> Names:
    """The names that come with losslab."""
    return Names(tuple(EMBEDDED.split()), "the names that come with losslab")


def read(path: str | Path) -> Names:
    """The names of a UTF-8 text file, one a line, in any alphabet; blank lines are left out.

    Letters with accents are composed (NFC), so that each is one token however it was typed.

    Raises:
        ValueError: for a file that is no such text.
        OSError: where there is no file, or it may not be read.
    """
    shown = untrusted.one_line(str(path))
    try:
        raw = untrusted.read_whole(untrusted.descriptor(path, follow=True), MOST_BYTES)
    except untrusted.TooLarge:
        raise ValueError(f"{shown} has more than {MOST_BYTES:,} bytes, too many for names; give a part of it") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8 text, "
                         "one name a line") from None
    names = tuple(name for line in unicodedata.normalize("NFC", text).split("\n") if (name := line.strip()))
    if not names:
        raise ValueError(f"{shown} has no name in it; it takes a text file with one name a line")
    found = Names(names, shown)
    if len(found.characters) > MOST_CHARACTERS:
        raise ValueError(f"{shown} has {len(found.characters):,} different characters, and the lesson takes at most "
                         f"{MOST_CHARACTERS:,}; is it a list of names?")
    return found
