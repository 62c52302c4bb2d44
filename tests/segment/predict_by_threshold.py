"""`python -m tests.segment.predict_by_threshold FLAGS... PATH...`: segment.predict without a trained network."""

import runpy
import sys
import types

from tests.segment import thresholds


def main(*arguments: str) -> None:
    """Runs segment.predict with a segmenter that needs no workdir."""
    restoring = types.ModuleType('segment.ensemble')
    restored = types.SimpleNamespace(
        classes=thresholds.CLASSES,
        one_part_classes=thresholds.CLASSES[1:],
        checksum=thresholds.CHECKSUM,
        segment=thresholds.segment,
        note_on=lambda case: '',
    )
    restoring.SegmenterEnsemble = types.SimpleNamespace(  # type: ignore[attr-defined]
        load=lambda workdirs, step, *, best, mirror, all_parts: restored
    )
    sys.modules['segment.ensemble'] = restoring
    sys.argv = ['segment.predict', *arguments]
    runpy.run_module('segment.predict', run_name='__main__')


if __name__ == '__main__':
    main(*sys.argv[1:])
