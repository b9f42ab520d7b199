"""The trainings behind the figures: which there are, what they cost, how well each verifies pairs."""
