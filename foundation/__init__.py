"""What all tasks stand on, knowing none of them."""

__all__ = [
    'commands',
    'export',
    'files',
    'report',
    'serving',
    'signing',
    'software',
    'startup',
    'statistics',
    'training',
    'watermark',
]
