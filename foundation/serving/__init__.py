"""A page for the browsers of this machine: guarded against foreign pages, served until it is stopped."""

__all__ = ['connections', 'extra', 'guard', 'server']
