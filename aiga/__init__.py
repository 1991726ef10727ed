"""AI-generating algorithms: systems that invent, keep what is new and good as stepping stones, and build on it."""
