"""Flags of the release gate, which `gan.generate` and `gan.privacy` share."""

from absl import flags

from backbones.extractors import Extractor
from gan.evaluation.extractors import RANDOM, create_extractor
from gan.release.decision import Policy

QUANTILE = flags.DEFINE_float(
    'gate_quantile', 0.01, 'The gate withholds images as near as this share of held-out patients is.', 1e-6, 0.5
)
_EXTRACTOR = flags.DEFINE_string(
    'extractor', RANDOM, 'In whose features the gate compares images; as for gan.evaluate.'
)
_LARGEST_WITHHELD = flags.DEFINE_float(
    'largest_withheld', 0.1, 'The release fails when a larger share of the images is withheld.', 0.0, 0.99
)
_LARGEST_AREA = flags.DEFINE_float(
    'largest_attack_area',
    0.6,
    "The release fails when the membership attack's area under the curve may be above this, or as far below 0.5.",
    0.5,
    1.0,
)


def read_policy() -> Policy:
    """What the release must keep to."""
    return Policy(QUANTILE.value, _LARGEST_WITHHELD.value, _LARGEST_AREA.value)


def open_extractor() -> Extractor:
    """In whose features images are compared."""
    return create_extractor(_EXTRACTOR.value)
