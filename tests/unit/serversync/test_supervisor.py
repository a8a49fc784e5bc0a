"""When the supervisor takes a cluster for stuck, and when it leaves it alone."""

from serversync.supervisor import BEGUN, READY, Limits, Pulse

LIMITS = Limits(stall=100, respawn=10, beat=20, start=60)


def pulse(*heard: tuple[float, bytes]) -> Pulse:
    made = Pulse(LIMITS, now=0)
    for now, signals in heard:
        made.hear(signals, now)
    return made


def test_a_cluster_without_work_is_asked_now_and_then():
    idle = pulse((1, READY))
    assert idle.wants_beat(1)
    idle.sent_beat(1)
    idle.hear(BEGUN, 2)
    assert not idle.wants_beat(21)
    assert idle.wants_beat(22)
    assert idle.complaint(10_000) == ""


def test_a_heartbeat_that_nobody_takes_means_stuck_after_the_limit():
    stuck = pulse((1, READY), (5, BEGUN))
    stuck.sent_beat(30)
    assert stuck.complaint(130) == ""
    assert "no job began" in stuck.complaint(131)


def test_a_backlog_is_no_stall_as_long_as_jobs_begin():
    busy = pulse((1, READY), (5, BEGUN))
    busy.sent_beat(30)
    for now in range(40, 2_000, 90):
        busy.hear(BEGUN, now)
        assert busy.complaint(now + 89) == ""


def test_a_replaced_worker_must_take_the_heartbeat_soon():
    replaced = pulse((1, READY), (5, BEGUN), (50, READY))
    assert replaced.wants_beat(50)
    replaced.sent_beat(51)
    assert replaced.complaint(61) == ""
    assert "replaced worker" in replaced.complaint(62)


def test_a_replaced_worker_that_takes_a_job_ends_the_suspicion():
    recycled = pulse((1, READY), (5, BEGUN), (50, READY))
    recycled.sent_beat(51)
    recycled.hear(BEGUN, 52)
    assert recycled.complaint(10_000) == ""


def test_a_cluster_that_never_becomes_ready_is_started_again():
    assert pulse().complaint(60) == ""
    assert "ready" in pulse().complaint(61)


def test_without_a_heartbeat_on_its_way_silence_proves_nothing():
    """The database was away: no heartbeat could be sent."""
    assert pulse((1, READY), (5, BEGUN)).complaint(10_000) == ""
