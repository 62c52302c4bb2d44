"""MODEL_CARD.md of an exported generator: what it is, what it is for and not for, and how to draw with it."""

from pathlib import Path

from foundation.export.manifest import NOT_CHECKED, Release
from foundation.export.origin import Origin
from foundation.export.verification import read_whole
from foundation.software import SOFTWARE, software_version
from foundation.training.errors import UserError
from gan.generation import card
from gan.reporting.runs import ReportedRun

_OUT_OF_SCOPE = (
    'Diagnosis, treatment, or any decision about a patient.',
    'Images that are shown or counted as those of patients.',
    'Release of images that no gate looked at: draw them with gan.generate where the training data are.',
    'Other parts of the body, modalities, scanners and populations than those of the training data.',
)
_NOT_LOOKED_AT = 'Verdict: **not checked**. No folder of images was named that the gate had looked at.'
_RESPONSIBILITY = (
    'The training data are not in this folder. But a generator may draw what it saw: pass it on as you would pass '
    'on its training data.'
)
_HOW_TO = f"""With {SOFTWARE}, where FOLDER is this one:

```sh
python -m gan.generate --workdir=FOLDER --num=100 --out=drawn
```

Without it, but with jax, flatbuffers, numpy, safetensors and pillow; nothing is then checked by a gate:

```sh
pip install jax=={{jax}} flatbuffers numpy safetensors pillow
python sample.py --out=drawn --num=100 --seed=1
```

Both draw the same images of a seed, bit for bit on the same kind of device with the same versions and
`--batch_size={{batch}}` of gan.generate. The programs for CPUs, CUDA and TPUs were written by JAX {{jax}}.
JAX promises that versions of the next six months read them, and those of the three weeks before. generator.json
has the SHA-256 of all files, which both check first."""


def find_release(folder: Path | None, origin: Origin) -> tuple[Release, str]:
    """What the gate found when a folder of images was drawn with these weights, and a sentence about which.

    Args:
      folder: that gan.generate wrote; None for none.
      origin: of the generator.

    Raises:
      UserError: when it is no such folder, is not as it was written, or was drawn with other weights.
    """
    if folder is None:
        return NOT_CHECKED, _NOT_LOOKED_AT
    manifest = read_whole(folder)
    if manifest is None:
        raise UserError(f'{folder} holds no manifest of gan.generate; name a folder that it wrote.')
    found, weights = manifest['model']['weights_sha256'], origin.model.weights_sha256
    if found != weights:
        raise UserError(
            f'{folder} was drawn with other weights (SHA-256 {found[:16]}) than those that are exported '
            f'({weights[:16]}): of another checkpoint, or rounded; generate images with these.'
        )
    if manifest['release']['verdict'] == NOT_CHECKED.verdict:
        return NOT_CHECKED, _NOT_LOOKED_AT
    release = Release(manifest['release']['verdict'], manifest['release']['figures'])
    sentence = (
        f'Verdict: **{release.verdict}**, on {manifest["count"]:,} images of seed {manifest["seed"]} that these '
        'weights drew. It tells of those images, not of all that the generator can draw.'
    )
    return release, sentence


def describe_generator(
    run: ReportedRun, origin: Origin, *, dtype: str, batch_size: int, licence: str, release: Path | None
) -> str:
    """The card.

    Args:
      run: that trained the generator.
      origin: of what it draws.
      dtype: of the weights in their files.
      batch_size: of the programs beside them.
      licence: of the weights; '' where it is not stated.
      release: folder of images, see `find_release`.

    Raises:
      UserError: see `find_release`.
    """
    checked, verdict = find_release(release, origin)
    figures = card.list_facts(card.flatten_figures(checked.figures))
    facts = {
        'Resolution': f'{origin.model.resolution} x {origin.model.resolution}',
        'Channels': str(origin.form.channels),
        **card.describe_form(origin.form),
        'Weights': f'averaged over training, {dtype}',
        'Licence': licence or card.NOT_STATED,
    }
    sections = {
        'Generator': f'Draws images from random numbers. **All are synthetic.**\n\n{card.list_facts(facts)}',
        'Intended use': card.list_points(card.INTENDED),
        'Out of scope': card.list_points(_OUT_OF_SCOPE),
        'Training data': f'{card.describe_data(run, origin)}\n\n{_RESPONSIBILITY}',
        'Training': card.describe_training(run, origin),
        'Scores': card.describe_scores(run.workdir, origin.model.weights_sha256),
        'Release gate': f'{verdict}\n\n{figures}'.strip(),
        'Known limits': card.list_points(card.LIMITS),
        'How to draw images': _HOW_TO.format(jax=software_version('jax'), batch=batch_size),
    }
    return card.compose(f'Generator of synthetic images: {card.escape(origin.data.name)}', sections)
