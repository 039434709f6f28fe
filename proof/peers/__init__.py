"""The same kills, readers and upgrades at once, for Shipway and for other tools that install files."""
