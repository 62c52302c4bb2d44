"""Cut, inpaint, paste: real volumes in which something was added or removed, with masks of what was changed."""
