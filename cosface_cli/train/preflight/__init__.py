"""What can be known before the first step: checks of data and settings, memory and time."""
