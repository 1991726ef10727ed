"""Foundation models: one call for every provider, answers that can be played again, and a control without a model."""
