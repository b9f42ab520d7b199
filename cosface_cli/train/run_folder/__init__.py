"""The run folder: resume from it, save state and outputs to it, finish it."""
