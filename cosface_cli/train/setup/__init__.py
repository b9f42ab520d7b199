"""What a training is asked to do: recipes, settings with every default filled in, the device."""
