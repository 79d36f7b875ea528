"""Documents on paper: an invoice or a credit note as PDF.

Owns: how figures and times are written for people, the layout, and the printer (Typst).
Does not own: any figure: everything on paper is in the document.
Invariants: the same document gives the same bytes; text from outside is data, never markup; nothing is read from the system.
"""
