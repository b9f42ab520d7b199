"""From a photo to aligned crops and vectors of its faces."""
