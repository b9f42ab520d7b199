"""The score of an epoch: pairs of a list, held-out people, mixtures of start and trained weights."""
