"""Charts: figures as drawings that need no script, no inline style and no second request (R8.31)."""
