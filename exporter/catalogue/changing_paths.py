"""The paths of Istio's, Envoy's and Go's servers that change a target: none is ever sent. Pure."""

import re
from urllib.parse import unquote

_CHANGING = re.compile(
    r"/(quitquitquit|drain|drain_listeners|app-lifecycle|inject|validate|healthcheck/(fail|ok)"
    r"|logging|reset_counters|runtime_modify|reopen_logs|cpuprofiler|heapprofiler|tap"
    r"|stats/recentlookups)(?![\w-])|/(debug/|homej/exit|scopej|signalj|memj)|[?&](push|clear)\b",
    re.IGNORECASE,
)
"""Whole parts of a path: an application's /healthcheck, or /tapas, is another one."""

_VISIBLE = re.compile(r"/[!-~]*")


def may_be_sent(path: str) -> bool:
    """Whether this is a path in ASCII that changes no target, however it is escaped."""
    return bool(_VISIBLE.fullmatch(path)) and not _CHANGING.search(unquote(path))
