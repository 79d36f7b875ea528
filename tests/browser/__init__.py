"""Pages in a real browser. `pages.py` is the table that a new page joins with one line."""
