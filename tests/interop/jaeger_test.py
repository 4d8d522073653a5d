"""Jaeger 1.53 on both sides: its agent sends to weft, its all-in-one stores what weft forwards."""

import unittest

import harness
import peers
from harness import HERE, Weft, free_port, running, wait_for

OFF = {"capture__enabled": "false"}
NODE_ENV = {"NODE_PATH": str(harness.E2E / "node" / "node_modules")}


class Jaeger(unittest.TestCase):
    def jaeger_client(self, binary_port):
        """A server with the old jaeger-client of Node, which reports by UDP thrift (binary)."""
        port = free_port()
        env = {**NODE_ENV, "PORT": str(port), "AGENT_PORT": str(binary_port)}
        return port, running("node", HERE / "node" / "jaeger_server.js", port=port, env=env)

    def test_agent_before_and_all_in_one_behind(self):
        jaeger = peers.Jaeger()
        with jaeger.running(), Weft(**OFF, exporters__collector__endpoint=f"127.0.0.1:{jaeger.ports['otlp_grpc']}") as weft:
            with peers.jaeger_agent(weft.ports["jaeger_grpc"]) as agent:
                port, server = self.jaeger_client(agent["binary"])
                with server:
                    for i in range(5):
                        self.assertEqual(harness.http_get(port, f"/old/{i}")[0], 200)
                    wait_for("five traces in Jaeger", lambda: len(jaeger.traces("jaeger-shop")) >= 5)
                traces = jaeger.traces("jaeger-shop")
            weft.stop()
        self.assertEqual(len(traces), 5)
        for trace in traces:
            self.assertEqual(len(trace["spans"]), 1, trace)

    def test_client_straight_into_weft(self):
        jaeger = peers.Jaeger()
        with jaeger.running(), Weft(**OFF, exporters__collector__endpoint=f"127.0.0.1:{jaeger.ports['otlp_grpc']}") as weft:
            port, server = self.jaeger_client(weft.ports["binary"])
            with server:
                for i in range(5):
                    self.assertEqual(harness.http_get(port, f"/old/{i}")[0], 200)
                wait_for("five traces in Jaeger", lambda: len(jaeger.traces("jaeger-shop")) >= 5)
            weft.stop()


if __name__ == "__main__":
    peers.require("all-in-one", "agent")
    harness.require_program("node")
    harness.main()
