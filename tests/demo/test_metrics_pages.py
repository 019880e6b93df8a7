import pytest

from exporter.demo import metrics_pages

PAGE = """\
# TYPE istio_agent_xds_proxy_requests counter
istio_agent_xds_proxy_requests 3
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_listener_manager_lds_update_rejected counter
envoy_listener_manager_lds_update_rejected{} 0
# TYPE envoy_cluster_upstream_cx_active gauge
envoy_cluster_upstream_cx_active{cluster_name="xds-grpc"} 0
envoy_cluster_upstream_cx_active{cluster_name="other"} 2
"""
BASE = "/stats/prometheus?"


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("filter=%5Enone%24", ["istio_agent_xds_proxy_requests 3"]),
        (
            "filter=%5Eserver%5C.live%24",
            ["istio_agent_xds_proxy_requests 3", "envoy_server_live{} 1"],
        ),
        (
            "filter=cluster.xds-grpc.*active",
            [
                "istio_agent_xds_proxy_requests 3",
                'envoy_cluster_upstream_cx_active{cluster_name="xds-grpc"} 0',
            ],
        ),
        (
            "usedonly&filter=lds.update_rejected|server",
            ["istio_agent_xds_proxy_requests 3", "envoy_server_live{} 1"],
        ),
    ],
    ids=["agent_only", "escaped_dot", "raw_cluster_name", "unused_counter"],
)
def test_filters_by_envoys_own_names(query: str, kept: list[str]) -> None:
    text = metrics_pages.filter_page(PAGE, BASE + query)
    assert [line for line in text.splitlines() if not line.startswith("#")] == kept


def test_a_family_left_out_leaves_no_comment() -> None:
    assert "envoy_server_live gauge" not in metrics_pages.filter_page(PAGE, BASE + "filter=nothing")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["chunked", "length"],
)
@pytest.mark.parametrize("body", [b"", b"live"], ids=["empty", "some"])
def test_framing_is_kept(head: bytes, body: bytes) -> None:
    answer = metrics_pages.join(head, body)
    assert metrics_pages.split(answer)[1] == body
    assert (b"chunked" in answer) or (b"Content-Length: %d\r\n" % len(body) in answer)


def test_reads_several_chunks() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert metrics_pages.split(head + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")[1] == b"abcde"


def test_what_grew_goes_on_growing() -> None:
    assert metrics_pages.grow("a 1\nb 5\n", "a 4\nb 5\n", 2) == "a 10\nb 5\n"


def test_moves_every_time() -> None:
    moved = metrics_pages.move_times('"valid_from": "2026-11-23T23:59:59Z"', 1.0)
    assert moved == '"valid_from": "2026-11-24T00:00:00Z"'


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        "# a comment\n\nup 1\n",
        "up 1 1700000000000\n",
        'up{a="b"} NaN\n',
        'seconds_bucket{le="1"} 3 # {trace_id="x"} 0.5\n',
        "# HELP up Whether it is up.\n",
    ],
)
def test_prometheus_text_is_recognised_with_comments_timestamps_and_exemplars(page: str) -> None:
    assert metrics_pages.is_prometheus_text(page.encode())


def test_a_value_that_is_no_number_is_kept() -> None:
    page = "# TYPE envoy_x counter\nenvoy_x{} many\n"
    assert metrics_pages.filter_page(page, BASE + "usedonly") == page
