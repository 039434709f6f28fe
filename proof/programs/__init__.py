"""Programs that keep a prefix busy while it is attacked, each a process of its own."""
