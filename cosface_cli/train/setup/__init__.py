"""The setup of a training: recipes, settings with every default filled in, the device."""
