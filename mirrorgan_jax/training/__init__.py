"""Train states, one pure jitted step a stage, and the loop that drives them."""
