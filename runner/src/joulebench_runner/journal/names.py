"""How the journal's files are called; apart from the schema, because pyarrow takes a while to import."""

from typing import Final

SEGMENT_SUFFIX: Final = ".arrows"
