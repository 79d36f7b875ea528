"""The API and the pages, on a real PostgreSQL; the journeys on a real EVM node too."""
