"""What a server means by an answer that is none: whom it refuses, and for how long. Pure.

Servers shaped like OpenAI's agree on neither status nor form: no credit comes as 402, 429 or 400, too long a
request as 400, 413, 429 or 500, an error even inside of a 200. So status, codes and words are looked at
together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from conductor.model.calls import Trouble
from workers.llm.error_bodies import Complaint
from workers.llm.headers import said_wait_s

#: request: this one can never pass, others can. account, key, model, address: nobody's can, until somebody
#: acts. limited, busy: later. faulty: it may be the request's doing, or the server's.
Meaning = Literal["request", "filtered", "account", "key", "model", "address", "limited", "busy", "faulty"]
#: What the endpoint's breaker is told of it; of the others nothing, for they are the request's own.
TROUBLES: Mapping[Meaning, Trouble] = {
    "limited": "limited",
    "busy": "busy",
    "faulty": "faulty",
    "account": "refuses",
    "key": "refuses",
    "model": "refuses",
    "address": "refuses",
}
#: How long a 429 shuts the endpoint that does not say when to come back.
RETRY_AFTER_S = 5.0


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CODES: Mapping[Meaning, frozenset[str]] = {
    "account": _words(
        "insufficient_quota insufficient_credits insufficient_balance billing_error "
        "billing_hard_limit_reached"
        " billing_not_active budget_exceeded account_deactivated account_suspended account_disabled "
        "access_terminated"
        " exceeded_current_quota_error payment_required quota_exceeded organization_restricted"
        " unsupported_country_region_territory"
    ),
    "key": _words(
        "invalid_api_key invalid_authentication authentication_error api_key_invalid api_key_expired "
        "unauthenticated"
        " permission_denied permission_error permissiondeniederror authenticationerror unauthorized "
        "missing_api_key"
        " api_key_service_blocked"
    ),
    "model": _words(
        "model_not_found deploymentnotfound invalid_model model_not_available model_not_active "
        "model_decommissioned"
        " unknown_model operationnotsupported model_terms_required"
    ),
    "filtered": _words(
        "content_filter content_policy_violation responsibleaipolicyviolation moderation_blocked"
    ),
    "request": _words(
        "context_length_exceeded string_above_max_length request_too_large exceed_context_size_error"
        " invalid_prompt tokens_limit_reached contextwindowexceedederror"
    ),
    "busy": _words(
        "overloaded_error overloaded server_overloaded engine_overloaded engine_overloaded_error unavailable"
        " unavailable_error service_unavailable serviceunavailableerror capacity_exceeded nocapacity"
    ),
    "limited": _words(
        "rate_limit_exceeded rate_limit_error ratelimitreached resource_exhausted ratelimiterror"
    ),
}

_A_KEY = r"(?:api[ _-]?key|subscription key|access key|authentication token|bearer token|credentials?)"


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_TOO_LARGE = _any(
    r"request (?:is )?too large|(?:payload|entity|body|content) (?:is )?too large",
    r"(?:maximum|max|available|model'?s?|exceeds?\b.{0,40}|exceed_?)\s*context",
    r"context[ _-]?(?:length|window|size).{0,40}(?:exceed|too|is \d|of \d)",
    r"(?:prompt|input|request|message|text)s? (?:is|are|was) too (?:long|large)|too "
    r"(?:many|long).{0,20}\btokens\b",
    r"reduce (?:the|your) (?:\w+ )?(?:length|size|input|prompt|messages?)|reduce the input",
    r"(?:input|prompt|token)s?.{0,40}exceeds? (?:the|your|limit|maximum|model)",
)
#: Of a 429: more at once than the budget ever holds.
_AT_ONCE = _any(r"request (?:is )?too large|reduce the input")
_ASKED = re.compile(r"\bLimit:? (?P<limit>\d+)\b.{0,40}\bRequested:? (?P<asked>\d+)", re.IGNORECASE)
_FILTERED = _any(
    r"content[ _-](?:filter|management|policy|moderation)|(?:was|been|is) "
    r"(?:flagged|filtered)|responsible ai|"
    r"requires moderation|safety (?:system|filter|setting)"
)
_ACCOUNT = _any(
    r"\b(?:no|not enough|out of|insufficient|more) (?:\w+ )?(?:credits?|balance|funds|quota)\b",
    r"credit balance|insufficient[ _](?:credits?|balance|funds|quota)|payment required|spending "
    r"limit|hard limit",
    r"budget (?:has been |was )?exceeded|(?:exceeded|exhausted) your (?:\w+ )?(?:quota|budget|credits?)",
    r"plan and billing|billing (?:details|account|is|not|has)|in arrears|past due|overdue|prepaid|top up",
    r"account (?:is |has been |was )?(?:not active|inactive|suspended|deactivated|disabled|terminated)",
    r"(?:country|region|territory).{0,20}not supported",
)
_KEY = _any(
    rf"{_A_KEY}.{{0,60}}(?:not valid|invalid|incorrect|expired|revoked|missing|required|not found|wrong)",
    r"(?:invalid|incorrect|expired|revoked|missing|wrong|no|unauthori[sz]ed|provide (?:an?|your)) "
    rf"(?:\w+ )?{_A_KEY}",
    r"authentication (?:failed|error|required)|not authori[sz]ed|unauthori[sz]ed|access denied",
)
_MODEL = _any(
    r"\bmodel\b.{0,120}(?:not found|does ?n[o']t exist|not exist|not "
    r"available|decommissioned|deprecated|no longer)",
    r"(?:no such|unknown|invalid|unsupported) model|not a (?:valid model|chat model)|try pulling it|"
    r"deployment.{0,60}(?:not exist|not found)|no endpoints found|no (?:healthy )?deployments?|"
    r"llm provider not provided|model not (?:found|supported|loaded)",
)
_BUSY = _any(
    r"overloaded|loading model|model is (?:currently )?loading|at capacity|no "
    r"capacity|temporarily unavailable"
)
#: A budget that fills up again by itself, whatever else is said of bills.
_RATE = _any(
    r"rate[ _-]?limit|(?:per|a|each) (?:minute|min|second|hour|day)|\b[rt]p[mds]\b|too many "
    r"requests|concurren|"
    r"slow down"
)
#: Gateways in front of one that is away.
_AWAY = frozenset({502, 503, 520, 521, 522, 523, 525, 526, 527, 529, 530})
#: Of the 4xx family, what another try may well get.
_PASSING = frozenset({408, 409, 425})


class Refusal(NamedTuple):
    meaning: Meaning
    #: Seconds that the server asks to wait; None: it does not say.
    wait_s: float | None = None


def meaning_of(status: int, complaint: Complaint, headers: Mapping[str, str], now: float) -> Refusal:
    """`status`: of the answer, or the one that is told inside of a 200. `now`: epoch seconds, for points
    of time.
    """
    wait_s = said_wait_s({**complaint.headers, **headers}, complaint.words, now, complaint.delay)
    meaning = _meaning(status, complaint, wait_s)
    return Refusal(meaning, wait_s if meaning in ("limited", "busy") else None)


def _meaning(status: int, complaint: Complaint, wait_s: float | None) -> Meaning:
    words, codes = complaint.words, complaint.codes
    if _is_too_large(status, words, codes):
        return "request"
    # Said in words, it may be a budget of a minute that asks for a better plan.
    is_of_time = status == 429 and bool(
        wait_s is not None or codes & _CODES["limited"] or _RATE.search(words)
    )
    if (
        codes & _CODES["account"]
        or status == 402
        or (status < 500 and not is_of_time and _ACCOUNT.search(words))
    ):
        return "account"
    if status in (400, 403, 422) and (codes & _CODES["filtered"] or _FILTERED.search(words)):
        return "filtered"
    if codes & _CODES["model"] or (status in (400, 403, 404, 422) and _MODEL.search(words)):
        return "model"
    if status in (401, 403) or codes & _CODES["key"] or (status in (400, 407) and _KEY.search(words)):
        return "key"
    if 300 <= status < 400 or status in (404, 405, 407, 410, 421, 426, 451):
        return "address"
    return _passing(status, words, codes, wait_s)


def _is_too_large(status: int, words: str, codes: frozenset[str]) -> bool:
    if codes & _CODES["request"] or status == 413:
        return True
    if status == 429:
        more = _ASKED.search(words)
        return bool(_AT_ONCE.search(words)) or (more is not None and int(more["asked"]) > int(more["limit"]))
    return status in (400, 422, 500) and bool(_TOO_LARGE.search(words))


def _passing(status: int, words: str, codes: frozenset[str], wait_s: float | None) -> Meaning:
    is_busy = bool(codes & _CODES["busy"] or _BUSY.search(words))
    if status == 429:
        return "limited"
    if status in _AWAY or is_busy or status == 498:
        return "busy"
    if status >= 500 or status in _PASSING:
        return "faulty" if wait_s is None else "busy"
    return "limited" if codes & _CODES["limited"] else "request"
