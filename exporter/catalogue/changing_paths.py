"""The paths of Istio's, Envoy's and Go's servers that change a target: none is ever sent. Pure."""

import re
from urllib.parse import unquote

_CHANGING = re.compile(
    r"/(quitquitquit|drain|app-lifecycle|inject|validate|healthcheck|logging|reset_counters"
    r"|runtime_modify|reopen_logs|cpuprofiler|heapprofiler|tap|debug/|stats/recentlookups)"
    r"|/(homej/exit|scopej|signalj|memj)|[?&](push|clear)\b",
    re.IGNORECASE,
)
_VISIBLE = re.compile(r"/[!-~]*")


def may_be_sent(path: str) -> bool:
    """Whether this is a path in ASCII that changes no target, however it is escaped."""
    return bool(_VISIBLE.fullmatch(path)) and not _CHANGING.search(unquote(path))
