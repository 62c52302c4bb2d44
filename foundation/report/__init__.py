"""What people see: pages and grids, for every task alike."""

__all__ = ['figures', 'page', 'reliability']
