"""What machines ask of a site: whether it is well, and how much it does."""
