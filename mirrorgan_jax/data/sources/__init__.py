"""Raw data sets of people: one module reads one form."""
