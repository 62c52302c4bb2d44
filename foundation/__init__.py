"""What all tasks stand on, knowing none of them."""

__all__ = [
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
