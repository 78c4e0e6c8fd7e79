"""Plausible words, names and lines for made-up data, drawn from a seeded source.

Here: pools of names, towns, goods and remarks as a jeweller's shop has them, and `Pool`, which mixes them into phrases
and hands them out fast. Not here: any table or file (`shop_database`, `shop_files`, `small_files`).

Rules: everything comes from the `random.Random` that the caller seeded, so the same seed gives the same data. A pool is
mixed once and then indexed, since millions of rows are drawn from it. It is far larger than a compressor's window, so
that a phrase which comes again is not what decides how well the data compresses.
"""

from __future__ import annotations

import random


def _words(text: str) -> list[str]:
    return text.split()


FIRST_NAMES = _words("""
    Anna Marie Sophie Laura Julia Lena Sarah Katharina Elisabeth Johanna Margarete Ingrid Renate Ursula Petra Claire
    Camille Chloe Manon Lukas Jonas Paul Felix Maximilian Johann Karl Friedrich Heinrich Wolfgang Dieter Klaus Jean
    Pierre Michel Antoine Luca Marco Giovanni Elena Carla Ewa Jan Tomasz Agnieszka Noor Yusuf Leyla Emre Mehmet
""")
LAST_NAMES = _words("""
    Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Koch Bauer Richter Klein Wolf Neumann Schwarz Braun
    Zimmermann Hartmann Lange Krause Lehmann Huber Mayer Kaiser Fuchs Lang Scholz Peters Weiss Jung Hahn Vogel Keller
    Martin Bernard Dubois Moreau Laurent Rossi Ferrari Russo Bianchi Nowak Kowalski Yilmaz Kaya Demir Jansen Peeters
""")
STREETS = _words("""
    Hauptstrasse Bahnhofstrasse Gartenweg Lindenallee Marktplatz Schulstrasse Bergweg Kirchgasse Goethestrasse
    Muehlenweg Ringstrasse Rosenweg Schillerplatz Wiesengrund Seestrasse Brunnengasse Feldweg Turmstrasse
""")
TOWNS = _words("""
    Altstadt Neuburg Lindau Freiberg Rosenheim Waldkirch Steinfurt Hohenau Marienthal Seebach Burgdorf Erlenbach
    Grafenau Ilmenau Kirchberg Lauterbach Mittenwald Nordhausen Oberkirch Pfullingen Radolfzell Schongau Tuttlingen
""")
GOODS = _words("ring necklace bracelet earrings pendant brooch watch chain anklet cufflinks signet charm tiara bangle")
METALS = _words("yellow-gold white-gold rose-gold platinum palladium silver steel titanium")
STONES = _words("diamond ruby sapphire emerald pearl opal topaz amethyst garnet aquamarine citrine tourmaline none")
CUTS = _words("brilliant princess oval cushion emerald-cut marquise pear cabochon baguette")
REMARKS = _words("""
    polished engraved inside resized by hand cleaned in the ultrasonic bath stone checked under the microscope new
    clasp fitted battery changed water resistance tested strap shortened delivered by courier picked up by customer
    gift wrapped paid in two parts deposit returned repaired under warranty appraisal attached certificate handed over
    asks for a call before noon prefers letters no advertising birthday card sent collects limited series anniversary
""")
COMPANIES = _words("Atelier Juwelen Manufaktur Edelstein Goldhaus Feinschmiede Kontor Import Design")
SYLLABLES = _words("""
    an ber con da el fen gra hol in ke lan mer no or pe ran sta ter un ver wi za ti ro lo ma ne be sche gen rich
    tung lich keit haft sam bau vor zu aus ein ab nach tra men ser vis pro fi ta lo
""")


class Pool:
    """Ready phrases, handed out by a fast draw."""

    __slots__ = ("_draw", "phrases")

    def __init__(self, source: random.Random, phrases: list[str]) -> None:
        self.phrases = phrases
        self._draw = source.random

    def __call__(self) -> str:
        """Return one phrase."""
        phrases = self.phrases
        return phrases[int(self._draw() * len(phrases))]


def mixed(source: random.Random, words: list[str], *, count: int, least: int, most: int) -> Pool:
    """Return a pool of `count` phrases of `least` to `most` words each."""
    phrases = [" ".join(source.choices(words, k=source.randint(least, most))) for _ in range(count)]
    return Pool(source, phrases)


def remarks(source: random.Random, *, count: int = 60_000) -> Pool:
    """Return remarks as somebody types them at the till, half of them empty."""
    written = mixed(source, REMARKS, count=count, least=2, most=9).phrases
    return Pool(source, [phrase for written_one in written for phrase in (written_one, "")])


def descriptions(source: random.Random, *, count: int = 30_000) -> Pool:
    """Return descriptions of articles."""
    choose = source.choice
    return Pool(
        source,
        [
            f"{choose(GOODS)}, {choose(METALS)} {choose((333, 375, 585, 750, 916, 950))}, {choose(STONES)} "
            f"{choose(CUTS)} {source.random() * 3:.2f} ct, {' '.join(source.choices(REMARKS, k=6))}"
            for _ in range(count)
        ],
    )


def vocabulary(source: random.Random, *, count: int = 4000) -> list[str]:
    """Return words, the n-th of them in 1/n-th measure, as words are distributed in a language."""
    made = dict.fromkeys("".join(source.choices(SYLLABLES, k=source.randint(1, 4))) for _ in range(count))
    return [word for rank, word in enumerate(made, start=1) for _ in range(1 + 400 // rank)]
