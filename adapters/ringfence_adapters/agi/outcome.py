"""What a call came to, from Asterisk's words to ours. One table; not reached is not refused.

An attempt counts as soon as a telephone may have rung, so only what certainly never left Asterisk
gives it back. CONGESTION and CHANUNAVAIL do not: Dial also sets them for what the carrier answered.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ringfence.call import Outcome

__all__ = ["outcomes"]

# https://docs.asterisk.org, application Dial, variable DIALSTATUS.
_DIALSTATUS = {
    "ANSWER": Outcome.ANSWERED,
    "NOANSWER": Outcome.NO_ANSWER,
    "BUSY": Outcome.BUSY,
    "CANCEL": Outcome.NO_ANSWER,  # the dialer gave up while it rang
    "CONGESTION": Outcome.FAILED,
    "CHANUNAVAIL": Outcome.FAILED,
    # The person called, asked by Dial's privacy options, sent the caller away.
    "DONTCALL": Outcome.REFUSED,
    "TORTURE": Outcome.REFUSED,
    "INVALIDARGS": Outcome.NOT_PLACED,  # Dial understood no destination
}

# A dialplan that knows more than DIALSTATUS says it in our words.
_NAMES = {outcome.name: outcome for outcome in Outcome}


def outcomes(dispositions: Mapping[str, str]) -> Mapping[str, Outcome]:
    """Give the table, with a dialer's own `dispositions` added: ``{"NI": "refused"}``.

    Raises `ValueError` for an outcome that does not exist: found only at a call, it would be a
    refusal lost.
    """
    table = _DIALSTATUS | _NAMES
    for word, name in dispositions.items():
        try:
            table[word] = Outcome(name)
        except ValueError as error:
            known = ", ".join(Outcome)
            msg = f"disposition {word!r} means {name!r}, which is no outcome; there are {known}"
            raise ValueError(msg) from error
    return MappingProxyType(table)
