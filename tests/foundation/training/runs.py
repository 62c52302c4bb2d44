"""What a run has left in its folder."""

import json
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp


def saved_state(folder: Path, step: int) -> dict[str, np.ndarray]:
    """Everything in the checkpoint of a step, by name."""
    state = ocp.StandardCheckpointer().restore(folder / f'{step:09d}' / 'state')
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def logged_metrics(workdir: Path) -> list[dict]:
    """The lines of metrics.jsonl without what the clock decides."""
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != 'images_per_second'} for line in lines]
