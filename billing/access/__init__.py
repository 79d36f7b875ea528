"""Who may open the pages, and for how long.

Owns: links that sign somebody in, sessions, contacts who may ask for a link, and when all of them end.
Does not own: what a role may see (web names a rule on every page), keys of the API (tenants), how mail is sent (notices).
Invariants: a link works once and for a short time; of links and sessions only a digest is kept, also in the outbox;
whoever asks for a link learns nothing about which addresses are known; what was revoked does not work a moment longer.
"""
