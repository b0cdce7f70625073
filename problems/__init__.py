"""The equations: one file per problem, the mathematics and nothing else; yours may lie in your own ./problems."""
