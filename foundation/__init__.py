"""What all tasks stand on, knowing none of them."""

__all__ = [
    'export',
    'files',
    'report',
    'signing',
    'software',
    'startup',
    'statistics',
    'training',
    'watermark',
]
