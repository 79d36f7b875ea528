"""What finance exports: read models and their file formats.

Owns: the rows of reports, CSV and JSON encodings.
Does not own: the figures (ledger, invoicing, reconciliation keep them).
Invariants: columns are never moved or renamed, only added at the end; spreadsheet formulas are neutralised.
"""
