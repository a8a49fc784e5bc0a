"""Clusters show that they live; cycles show how far they are."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.signals import pre_execute

from mailboxes.choices import Operation
from serversync import clusters
from serversync.leases import claim, renew
from serversync.models import Cluster, Workload
from tests.factories.mailboxes import SystemUserFactory, ready_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def test_a_cluster_keeps_one_row_and_is_late_after_a_while(django_assert_num_queries):
    now = timezone.now()
    clusters.write("machine:1", now, now)
    with django_assert_num_queries(1):
        clusters.write("machine:1", now, now + timedelta(minutes=1))
    row = Cluster.objects.get()
    assert (row.started_at, row.seen_at) == (now, now + timedelta(minutes=1))
    assert clusters.alive(now + timedelta(minutes=6)) == [row]
    assert clusters.alive(row.seen_at + clusters.LATE) == []


def test_a_new_cluster_sweeps_away_those_that_were_killed_long_ago():
    now = timezone.now()
    clusters.write("machine:1", now, now - timedelta(days=2))
    clusters.write("machine:2", now, now)
    assert [row.name for row in Cluster.objects.all()] == ["machine:2"]
    clusters.forget("machine:2")
    assert not Cluster.objects.exists()


def test_workers_write_as_they_begin_jobs_and_not_with_each(django_assert_num_queries):
    clusters.announce("machine:3")
    try:
        pre_execute.send(sender="django_q", func=None, task={})
        assert Cluster.objects.get().name == "machine:3"
        with django_assert_num_queries(0):
            pre_execute.send(sender="django_q", func=None, task={})
    finally:
        pre_execute.disconnect(dispatch_uid="cluster-sign-of-life")


def test_a_cycle_notes_how_many_items_it_has_with_the_lease(django_assert_num_queries):
    mailbox = ready_mailbox(SystemUserFactory())
    mailbox.workloads.filter(operation=Operation.INCOMING).update(enabled=True, items_so_far=7)
    now = timezone.now()
    (claimed,) = claim(now, 1, "machine:1")
    workload = Workload.objects.get(pk=claimed.workload_id)
    assert workload.items_so_far == 0
    with django_assert_num_queries(1):
        renew(claimed.token, now, 40)
    workload.refresh_from_db()
    assert workload.items_so_far == 40
    renew(claimed.token, now)
    workload.refresh_from_db()
    assert workload.items_so_far == 40
