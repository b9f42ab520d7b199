"""The score of an epoch: pairs of a file, held-out identities, mixtures of start and trained weights."""
