"""Names that became pseudonyms by the key of the tests, and the way back."""

import csv
import hashlib
import hmac
import os
from pathlib import Path


def pseudonym(path: str) -> str:
    """What a path, the name of a patient or a file becomes, part by part: HMAC-SHA-256, 16 digits of it."""
    key = Path(os.environ['ENHANCED_GAN_KEY']).read_bytes().strip()
    parts = [hmac.digest(key, part.encode(), hashlib.sha256).hex()[:16] for part in path.split('/')]
    return '/'.join(parts)


def private_paths(folder: Path) -> dict[str, str]:
    """Of a data set, what its pseudonyms stand for."""
    with open(folder / 'private_paths.csv', newline='', encoding='utf-8') as file:
        return {row['pseudonym']: row['path'] for row in csv.DictReader(file)}
