"""One file per figure or table of the paper: the trainings, the rows, and the drawing."""
