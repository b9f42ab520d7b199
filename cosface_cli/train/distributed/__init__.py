"""Training in several processes: start them, exchange tensors, share batch norm."""
