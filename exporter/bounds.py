"""How much is taken of what pods, pages and the API hand over: the table of docs/limits.md. Pure.

Whoever may create a pod shapes its document and every byte of its ports. Each `Bound` is a number
to use as such, with what it bounds and why it is that large; what honest meshes have lies well
below it. What one parser alone needs, as the length of a line, stands beside that parser.
`cut_text` shortens a text so that different ones stay different.
"""

from functools import partial
from hashlib import sha256
from typing import Self


class Bound(int):
    """What is taken at most, of what, and why; `excess` is what happens to what is beyond it."""

    what: str
    excess: str
    reason: str
    unit: str

    def __new__(cls, most: int, what: str, excess: str, reason: str, unit: str = "") -> Self:
        """A bound, which is its number."""
        bound = super().__new__(cls, most)
        bound.what, bound.excess, bound.reason, bound.unit = what, excess, reason, unit
        return bound


_bytes = partial(Bound, unit="bytes")
_characters = partial(Bound, unit="characters")

_CUT = "cut, with `~` and a hash"
_LEFT_OUT = "left out"
_NO_PAGE = "`too_large`, or that page adds nothing"
_KIB = 1024

# --- text ------------------------------------------------------------------------------------

KUBERNETES_NAME = _bytes(
    253,
    "names of pods, nodes and workloads",
    _CUT,
    "Kubernetes allows that many, so that no name of its own is ever cut",
)
TENANT_TEXT = _bytes(
    63,
    "text of annotations, variables, admin pages and socket tables",
    _CUT,
    "as long as the value of a label in Kubernetes, which such text usually is",
)
SPIFFE_ID = _bytes(
    255,
    "the SPIFFE identity of a certificate",
    _CUT,
    "a trust domain, a namespace and a service account with names of usual length",
)
LABEL_VALUE = _bytes(
    255,
    "any label's value in `/metrics`",
    _CUT,
    "Prometheus refuses a whole scrape for one label that is longer than its limit",
)
SENTENCE = _bytes(
    600,
    "a sentence of evidence, a probe's detail, Envoy's reason for a reject",
    _CUT,
    "a reason of Envoy's that quotes a configuration is about 200",
)
SETTINGS_TEXT = _characters(
    16 * _KIB,
    "ProxyConfig, a list of ports or of probes in a pod",
    _LEFT_OUT,
    "the longest ProxyConfig seen has 2 kB; YAML takes 20 us a value to read",
)
ARGUMENT = _characters(
    512,
    "an argument in which variables are put in",
    "taken as it is",
    "a flag with an address; each variable in it may be as long as the pod's document",
)

# --- counts ----------------------------------------------------------------------------------

TARGET_PORTS = Bound(
    256,
    "ports of a target beside the catalogue's, by the lowest number",
    _LEFT_OUT,
    "all are probed at once in every poll; a gateway with 100 servers is a very large one",
)
LISTENERS = Bound(
    512,
    "listeners of each state that an admin page lists",
    _LEFT_OUT,
    "twice the ports of a gateway; a sidecar binds some five of its own",
)
SERIES = Bound(
    640,
    "a target's samples of one family",
    _LEFT_OUT,
    "one for each port of the largest gateway that is polled, with room for its sockets",
)
SENTENCES = Bound(
    32,
    "the evidence of a diagnosis; reasons that Envoy gives on an admin page",
    _LEFT_OUT,
    "a page for people; causes have up to ten",
)
CONTAINERS = Bound(
    64,
    "containers of a pod whose state is kept, and the application's probes",
    _LEFT_OUT,
    "each costs 10 us whenever the pod changes; a pod with ten is a large one",
)
CONTAINER_VALUES = Bound(
    1024,
    "arguments, variables or declared ports of a container",
    _LEFT_OUT,
    "each is read some times whenever the pod changes; a proxy has 60 in all",
)
POD_LABELS = Bound(
    256,
    "labels kept of a pod",
    _LEFT_OUT,
    "they are kept in memory for selectors; Istio and Helm add about ten",
)
SERVICES = Bound(
    64,
    "Services that select one gateway",
    _LEFT_OUT,
    "a gateway has one or two; the ports of all are put together whenever one of them changes",
)
ADDRESSES = Bound(4, "addresses of a pod", _LEFT_OUT, "Kubernetes gives one for each IP family")
CERTIFICATE_NAMES = Bound(
    16, "alternative names of a certificate", _LEFT_OUT, "a workload's has one, istiod's about five"
)
SERVER_NAMES = Bound(
    32,
    "server certificates of a gateway, each by a TLS hello once an hour",
    _LEFT_OUT,
    "gateways with more servers share certificates by wildcards as a rule",
)
PROXIES = Bound(
    50_000,
    "the proxies that one istiod lists",
    "the listing counts for nothing",
    "above what one replica can serve",
)
SOCKETS = Bound(
    65_536,
    "each of a pod's socket tables, its listening sockets first",
    _LEFT_OUT,
    "both ends of as many connections as one place can have are 56,000; a line takes 5 us",
)
DESCRIPTORS = Bound(
    65_536,
    "open files of a pod's processes, by which sockets are given their owners",
    "sockets without an owner",
    "each takes 5 us; one thread reads the tables of all pods of a node",
)

# --- pages, by path, and other answers ---------------------------------------------------------

WORD_PAGE = _bytes(
    64 * _KIB,
    "`/healthz/ready`, `/ready`, `/readyz`, `/version`, `server.live`",
    "`too_large`",
    "a word, a status or five samples; recorded: under 1 kB with headers",
)
HEADERS = _bytes(
    64 * _KIB,
    "the headers of an HTTP answer",
    "`too_large`",
    "counted with the page; Envoy takes 60 KiB itself",
)
PIECES = Bound(
    65_536,
    "pieces in which the body of an HTTP answer comes, as chunks, and trailers behind it",
    "`too_large`",
    "32 MB in Go's chunks of 2 kB have 16,000. Each takes 1 us, and 32 MB by single bytes took 5 s",
)
STATS_PAGE = _bytes(
    160 * _KIB,
    "`/stats/prometheus` of Envoy, filtered, and what is kept of any page of metrics",
    "`too_large`",
    "recorded: 8 kB; its labels take 10 ms to read where they are as short as can be",
)
LISTENERS_PAGE = _bytes(
    2048 * _KIB,
    "admin's `/listeners` and `/config_dump`, masked",
    _NO_PAGE,
    "some 230 bytes a listener, of which a sidecar has one for each TCP service of the mesh: 9,000",
)
LISTENERS_PAGE_OBJECTS = Bound(
    32_768,
    "JSON objects on one of these pages",
    "the page adds nothing",
    "three a listener; empty ones would be made for milliseconds",
)
ADMIN_PAGE = _bytes(
    256 * _KIB,
    "admin's `/certs` and `/server_info`",
    _NO_PAGE,
    "recorded: 13 kB of certificates, 127 kB of bootstrap",
)
STATUS_PAGE = _bytes(
    8192 * _KIB,
    "pages of which only the status counts",
    "`too_large`",
    "a port of your own may serve anything; 64 kB of it are kept",
)
METRICS_PAGE = _bytes(
    32 * 1024 * _KIB,
    "`/metrics`, and the agent's merged page",
    "`too_large`",
    "64 kB and lines of named families are kept; ztunnel's grows with its node's connections",
)
SYNCZ_PAGE = _bytes(
    64 * 1024 * _KIB,
    "istiod's `/debug/syncz`",
    _NO_PAGE,
    "2 kB for each of 30,000 proxies; requested with the token, or from inside the pod, alone",
)
SYNCZ_ROW = _bytes(
    64 * _KIB,
    "one proxy's row in it",
    "the listing counts for nothing",
    "2 kB with five resources; an error's text may be in it",
)
HTTP2 = _bytes(
    4 * _KIB,
    "an answer to the gRPC health check",
    "`too_large`",
    "some 200 bytes in five frames. The smallest frame has 9 and costs 14 us: these are 6 ms",
)
HANDSHAKE = _bytes(
    64 * _KIB,
    "a TLS handshake, and what TLS sends of its own after it",
    "`too_large`",
    "a chain of four certificates has 5 kB",
)
CERTIFICATE = _bytes(
    24 * _KIB,
    "one certificate of it",
    "`too_large`",
    "250 names of a gateway have 10 kB. As many bytes of the shortest names take 8 ms to read",
)

# --- files -------------------------------------------------------------------------------------

FILE = _bytes(
    64 * 1024 * _KIB,
    "a file of configuration, targets or a pod, and a kubeconfig",
    "refused with a sentence",
    "100,000 targets have some 20 MB; a device has no end",
)
PROBLEMS = Bound(
    100,
    "problems of one file that are named, with its line and key",
    "counted in a sentence",
    "nobody reads more, and a log keeps them; a template repeats its mistake in each target",
)
SECRET_FILE = _bytes(
    1024 * _KIB,
    "a file with a token, a key or certificates",
    "as one that cannot be read",
    "a bundle of all public roots has 250 kB",
)

# --- the Kubernetes API ------------------------------------------------------------------------

JSON_DEPTH = Bound(
    64,
    "nesting of an object",
    "cut",
    "managedFields may be 10,000 deep; no field that is read is deeper than ten",
)
OBJECT = _bytes(
    1024 * _KIB,
    "one object of the Kubernetes API",
    "left out, counted and logged",
    "a pod has 10 kB, a very large one 100; the server stores 1.5 MB. It takes 10 ms to read",
)
LIST_PAGE = _bytes(
    8192 * _KIB, "one page of a list", "requested anew with fewer objects", "250 pods have 3 MB"
)
LIST_VALUES = Bound(
    150_000,
    "values on one page of a list of several objects",
    "requested anew with fewer objects",
    "to take a page apart holds the interpreter: 11 ms with so many; 250 pods have 50,000",
    unit="commas",
)
OBJECT_VALUES = Bound(
    800_000,
    "values of one object",
    "the list or watch fails",
    "what etcd stores of an object has room for 786,000 of the smallest; 14 ms at most",
    unit="commas outside of text",
)
LISTED_OBJECTS = Bound(
    1_000_000,
    "objects of one list",
    "the list fails",
    "several times what a cluster may have; a server that lies would list without end",
)
WATCH_LINE = _bytes(
    16 * 1024 * _KIB,
    "one line of a watch, or one object alone",
    "the watch fails",
    "JSON of an object that etcd takes is a few times 1.5 MB",
)

BOUNDS: tuple[Bound, ...] = tuple(one for one in globals().values() if isinstance(one, Bound))
"""Every bound, in the order of this file."""

_MARK = 9
"""How long the mark of a cut text is: `~` and 8 digits."""


def cut_text(text: str, most: int) -> str:
    """The text, or its start and a mark of the whole of it: at most so many bytes of UTF-8."""
    if len(text) <= most and (text.isascii() or len(text) * 4 <= most):
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most:
        return text
    start = encoded[: most - _MARK].decode("utf-8", "ignore")
    return f"{start}~{sha256(encoded).hexdigest()[: _MARK - 1]}"
