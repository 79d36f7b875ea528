"""Rows of prices and charges: `books` (what is sold), `terms` (which price holds), `usage` and `meters` (how much of it),
`agreements` (fees, minimums, discounts), `charges` (what was invoiced)."""

from billing.pricing.store.books import currency as currency
from billing.pricing.store.charges import Charge as Charge
from billing.pricing.store.charges import cancel as cancel
from billing.pricing.store.charges import charge_all as charge_all
