"""What checks the types and shapes of all that the package is called with."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""An int will do where a float is asked for, as type checkers have it."""
