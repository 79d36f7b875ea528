"""Sources: each file speaks to one kind of system and holds no policy. They decode, and turn floats into integers at once."""
