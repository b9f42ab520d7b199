"""verify.compare: photos, or rows of stores, compared with each other."""
