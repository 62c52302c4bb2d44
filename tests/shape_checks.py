"""The checker of annotations under pytest: beartype, with an int allowed where a float is asked for (PEP 484)."""

import beartype

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
