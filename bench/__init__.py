"""How fast is it, against `cp` and `rm`: `make bench`."""
