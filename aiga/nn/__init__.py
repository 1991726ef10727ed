"""Networks: distributions over actions, perceptrons, policies."""
