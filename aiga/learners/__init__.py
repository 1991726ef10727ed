"""Learners: rollouts of a policy in worlds, and what improves the policy from them."""
