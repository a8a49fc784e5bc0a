"""The site's settings for a cluster under test: nothing takes minutes."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import Q_CLUSTER

Q_CLUSTER = Q_CLUSTER | {
    "workers": 2,
    "queue_limit": 2,
    "timeout": int(os.environ.get("CLUSTER_TIMEOUT", "30")),
    "retry": int(os.environ.get("CLUSTER_RETRY", "40")),
    "poll": 0.1,
    "guard_cycle": 0.2,
    "scheduler": False,
}
