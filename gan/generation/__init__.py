"""Generated images as folders: who drew them, in which format, with which card."""
