"""verify.figures: from scored pairs to rates, intervals, plots and the page of a report."""
