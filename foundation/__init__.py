"""What all tasks stand on, knowing none of them."""

__all__ = ['export', 'files', 'report', 'software', 'startup', 'statistics', 'training', 'watermark']
