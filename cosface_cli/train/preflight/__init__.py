"""Before the first step: checks of crops and settings, the bounds of s and m, memory and time."""
