"""Pages behind sign-in: a shell that all share, and one module for each area's pages."""
