"""What people and monitors open: the invoice page, the list of routes, health."""
