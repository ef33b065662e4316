"""What counts of a node's diagnostics grow while the doctor listens."""

from __future__ import annotations

from types import SimpleNamespace

from seen_robots import said

from lnn_ros.nodes.doctor.status import grown


def test_growth_of_counts() -> None:
    def report(**values: str):
        status = said(**{"imu.rate_hz": "200"}, **{
            key.replace("__", "."): value for key, value in values.items()})
        status.name = "controller: control"
        return SimpleNamespace(status=[said(camera__dropped_late="99"), status])

    first = report(camera__dropped_late="3")
    last = report(camera__dropped_late="7", imu__stamp="2", imu__accepted="900", rewinds="8")
    assert grown([first, last], "controller: control") == {"camera.dropped_late": 4,
                                                           "imu.stamp": 2}
    assert grown([], "controller: control") == {}
