"""How good generated images are: each score with an interval, or the reason why it cannot be computed."""

__all__ = ['battles', 'gaussian', 'kernel', 'neighbours', 'parzen', 'prior']
