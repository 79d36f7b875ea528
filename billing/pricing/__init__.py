"""What usage costs.

Owns: price books, SKUs, dated prices, rating, charges.
Does not own: usage (metering), invoices (invoicing).
Invariants: one SKU has one price at a moment; a line is rounded once, half-even; the charges of a line sum to it exactly;
charges are never changed, only opposed.
"""
