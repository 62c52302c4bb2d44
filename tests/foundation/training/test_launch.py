"""What the command line says of flags that are wrong."""

import pytest
from absl import flags

from foundation.training import launch


def test_flags_that_are_missing_are_told(monkeypatch):
    values = flags.FlagValues()
    for name in ('out', 'num_images'):
        flags.DEFINE_string(name, None, 'Of a test.', required=True, flag_values=values)
    monkeypatch.setattr(flags, 'FLAGS', values)
    said = (
        '^Error: --out is missing; --help explains the flags. --num_images is missing; --help explains the flags.$'
    )
    with pytest.raises(SystemExit, match=said):
        launch._parse_flags(['command'])
    assert launch._parse_flags(['command', '--out=a', '--num_images=b']) == ['command']
