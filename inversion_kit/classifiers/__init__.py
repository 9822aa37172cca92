"""Any image classifier behind one contract, its preprocessing, its doctor and its controls."""
