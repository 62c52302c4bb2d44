"""What a manifest of generated images says."""

from typing import Any

MANIFEST: dict[str, Any] = {
    'synthetic': 'yes',
    'software': {'name': 'enhanced-gan', 'version': '1'},
    'command': {},
    'model': {'weights_sha256': 'ef' * 32, 'config_sha256': 'cd' * 32, 'step': 1, 'images_seen': 8},
    'data': {
        'name': 'chest',
        'fingerprint': 'ab' * 32,
        'split': 'train',
        'images': 10,
        'patients': 5,
        'licence': '',
        'patients_known': True,
    },
    'seed': 0,
    'count': 2,
    'format': 'png',
    'licence': 'CC0',
    'date': '',
    'release': {'verdict': 'pass', 'figures': {}},
}
