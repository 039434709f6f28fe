"""`make collection`: build recipes from nothing into a new prefix, and use what was built."""
