"""Free ports are free, different, and where they were wished when they can be."""

import socket

from headroom.local.ports import free_ports


def test_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)) as server:
            assert server.getsockname()[1] == port


def test_wished_ports_are_given_and_taken_ones_replaced() -> None:
    first = free_ports(1)[0]
    assert free_ports(1, prefer=first) == [first]
    with socket.create_server(("127.0.0.1", first)):
        replaced = free_ports(1, prefer=first)[0]
        assert replaced != first
