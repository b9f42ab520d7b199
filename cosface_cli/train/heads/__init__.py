"""How class weights are distributed over processes and sampled: whole, or Partial FC."""
