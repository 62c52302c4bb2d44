"""This project beside other frameworks' versions of the same work."""
