"""Texts of which it is known what they are about."""

import random

THEMES = (
    ["guitar", "piano", "drum", "violin", "melody", "chorus"],
    ["river", "mountain", "valley", "forest", "glacier", "meadow"],
    ["oven", "flour", "butter", "sugar", "pastry", "recipe"],
)


def planted(num_texts=60, seed=0):
    """Texts of 12 words of one theme each, and the themes."""
    draw = random.Random(seed)
    kinds = [i % len(THEMES) for i in range(num_texts)]
    return [draw.choices(THEMES[kind], k=12) for kind in kinds], kinds
