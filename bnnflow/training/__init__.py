"""Training on fixed sets of labelled frames, and the frames of the shipped foundation model."""
