"""The race between an installation and programs that import what is being installed: `make demo`."""
