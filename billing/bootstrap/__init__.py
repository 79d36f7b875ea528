"""Builds the application from the settings.

Owns: the construction of every part: nobody else constructs one.
Does not own: any rule; what the settings mean (settings).
Invariants: a part is built when it is first used, so that a command which needs no chain does not load its libraries.
"""

from billing.bootstrap.desk import DeskParts
from billing.bootstrap.ground import UNFENCED
from billing.bootstrap.ground import Fence as Fence
from billing.bootstrap.ground import Fences as Fences
from billing.bootstrap.ground import unfenced as unfenced
from billing.bootstrap.owners import OwnerParts
from billing.bootstrap.papers import PaperParts
from billing.bootstrap.prepaid import PrepaidParts
from billing.bootstrap.signals import SignalParts
from billing.core.clock import Clock
from billing.settings import Settings


class App(OwnerParts, PrepaidParts, DeskParts, PaperParts, SignalParts):
    """Everything, wired. `close` it when done."""


def build(settings: Settings, clock: Clock, fences: Fences = UNFENCED) -> App:
    """The application. Nothing is opened before it is used."""
    return App(settings, clock, fences)
