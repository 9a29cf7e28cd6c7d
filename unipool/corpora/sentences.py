"""Sentences that nobody said before, from a small grammar."""

from collections.abc import Iterator

import numpy as np

DETERMINERS = "the a my your our every another that this some her his".split()
ADJECTIVES = (
    "old young quiet clever hungry golden broken frozen early narrow gentle purple"
    " heavy silent wooden distant curious tired brave rusty simple lonely bright"
    " dusty patient foreign hollow sudden careful crooked"
).split()
PEOPLE = (
    "teacher farmer sailor painter doctor neighbour child singer baker captain lawyer"
    " cousin driver gardener student poet judge visitor nurse tailor miner hunter"
    " writer soldier queen uncle daughter butcher pilot clerk"
).split()
THINGS = (
    "basket bicycle letter window bottle blanket camera candle ladder mirror hammer"
    " ticket kettle guitar carpet pencil barrel lantern umbrella suitcase pillow"
    " engine bucket whistle magnet parcel curtain needle saddle trumpet"
).split()
VERBS = (
    "carried found painted borrowed dropped repaired noticed opened washed counted"
    " measured followed forgot sold brought described lifted promised remembered"
    " chased covered finished pulled studied watched praised"
).split()
PLACES = (
    "market river bridge station garden harbour kitchen forest village mountain"
    " library cellar theatre island valley hospital castle orchard factory meadow"
    " museum desert tunnel church stadium"
).split()
PREPOSITIONS = "near behind above inside beyond below across outside".split()
TIMES = (
    "yesterday|last winter|before dawn|on Monday|after lunch|every summer|at midnight|"
    "in the spring|a week ago|this morning|during the storm|for a while|once again|"
    "in silence|by accident|without a word"
).split("|")
ADVERBS = (
    "slowly rarely quickly proudly softly often never gladly almost barely usually"
    " suddenly"
).split()


def sentences(seed: int) -> Iterator[str]:
    """Give one sentence after another, none twice, the same ones for the same seed."""
    generator = np.random.default_rng(seed)
    said = set()
    while True:
        sentence = _sentence(generator)
        if sentence not in said:
            said.add(sentence)
            yield sentence


def _sentence(generator: np.random.Generator) -> str:
    def one(words: list[str]) -> str:
        return words[int(generator.integers(len(words)))]

    def phrase(nouns: list[str]) -> str:
        adjective = f"{one(ADJECTIVES)} " if generator.random() < 0.6 else ""
        return f"{one(DETERMINERS)} {adjective}{one(nouns)}"

    adverb = f"{one(ADVERBS)} " if generator.random() < 0.4 else ""
    clause = f"{phrase(PEOPLE)} {adverb}{one(VERBS)} {phrase(THINGS)}"
    place = f"{one(PREPOSITIONS)} {phrase(PLACES)}"
    forms = (
        f"{clause} {place}",
        f"{clause} {place} {one(TIMES)}",
        f"{one(TIMES)} {clause}",
        f"{place} {clause}",
        f"{clause} and {phrase(THINGS)}",
    )
    return one(list(forms))
