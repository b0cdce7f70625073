"""The equations: one file per problem. Your own go into the folder ./problems of your project."""
