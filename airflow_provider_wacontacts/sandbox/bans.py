"""The ban of a number that checks others without writing to them."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_wacontacts.sandbox.whatsapp_behaviour import WhatsAppBehaviour

__all__ = ["Ban"]


@dataclass(slots=True)
class Ban:
    """
    Whether the registered number may still check others.

    :ivar sent: how many messages it has sent.
    :ivar warned_at: sandbox time, in seconds since the epoch, since which there are too many checks; None for not.
    :ivar is_final: it is banned, and stays so whatever is sent.
    """

    sent: int = 0
    warned_at: float | None = None
    is_final: bool = False

    def look(self, checks: int, behaviour: WhatsAppBehaviour, now: float) -> bool:
        """
        Tell whether it is banned by now.

        :param checks: how many were real.
        :param now: sandbox time, in seconds since the epoch.
        """
        if behaviour.ban_ratio is None:
            return self.is_final
        if checks <= behaviour.ban_grace + behaviour.ban_ratio * self.sent:
            self.warned_at = None
            return self.is_final
        self.warned_at = now if self.warned_at is None else self.warned_at
        self.is_final = self.is_final or now >= self.warned_at + behaviour.ban_after_s
        return self.is_final
