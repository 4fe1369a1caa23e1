"""The held-out study of ethanol against B3LYP: data, methods, figures and tables."""
