"""Text that every renderer takes."""

import re

_ILLEGIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def legible(text: str) -> str:
    """Replace what is no character of a line: a picture that has one is not XML."""
    return _ILLEGIBLE.sub("\N{REPLACEMENT CHARACTER}", text)
