"""Changing a description as someone would who can also make its checksum anew."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Applies `change` to generator.json, and makes sizes and checksums of the shards and its own fit again."""
    path = folder / 'generator.json'
    content = json.loads(path.read_text())
    for shard in content['shards']:
        data = (folder / shard['name']).read_bytes()
        shard |= {'bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
    change(content)
    del content['description_sha256']
    canonical = json.dumps(content, sort_keys=True, separators=(',', ':'))
    content['description_sha256'] = hashlib.sha256(canonical.encode()).hexdigest()
    path.write_text(json.dumps(content))
