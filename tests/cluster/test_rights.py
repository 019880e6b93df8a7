"""The chart's rights by the audit log: enough for the exporter, and none that it never uses.

Those of the chart's switches are in `test_switches`.
"""

from tests.cluster.cluster import Cluster
from tests.cluster.product import Exporter
from tests.cluster.rights import assert_each_right_is_used_and_none_missed
from tests.real.kubernetes.client import Admin


async def test_the_defaults_use_each_of_their_rights_and_miss_none(
    cluster: Cluster, admin: Admin, direct: Exporter
) -> None:
    await assert_each_right_is_used_and_none_missed(cluster, admin, direct)


async def test_a_daemonset_and_its_deployment_use_each_of_their_rights_and_miss_none(
    cluster: Cluster, admin: Admin, netns: Exporter
) -> None:
    await assert_each_right_is_used_and_none_missed(cluster, admin, netns)
