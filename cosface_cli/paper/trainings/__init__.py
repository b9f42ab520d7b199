"""The trainings of the figures: their plans, their costs, their runs, and the accuracy of each network on pairs."""
