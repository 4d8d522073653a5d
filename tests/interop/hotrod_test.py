"""HotROD, Jaeger's example of four services over HTTP and gRPC, reports through weft to Jaeger: what Jaeger shows is
what HotROD says by itself, whether weft's capture is on or not."""

import unittest

import harness
import peers
from harness import Weft, free_port, http_get, running, wait_for


def hotrod(weft):
    frontend = free_port()
    flags = [f"--frontend-service-port={frontend}", f"--customer-service-port={free_port()}",
             f"--driver-service-port={free_port()}", f"--route-service-port={free_port()}"]
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{weft.ports['http']}"}
    return frontend, running(peers.PEERS / "hotrod", "all", *flags, port=frontend, env=env)


class HotRod(unittest.TestCase):
    def dispatch(self, **settings):
        jaeger = peers.Jaeger()
        with jaeger.running(), Weft(exporters__collector__endpoint=f"127.0.0.1:{jaeger.ports['otlp_grpc']}",
                                    **settings) as weft:
            port, program = hotrod(weft)
            with program:
                wait_for("the front page", lambda: http_get(port, "/")[0] == 200)
                self.assertEqual(http_get(port, "/dispatch?customer=123")[0], 200)
                wait_for("the trace in Jaeger", lambda: self.complete(jaeger), seconds=30)
            weft.stop()
            traces = [t for t in jaeger.traces("frontend") if len(t["spans"]) > 5]
        self.assertEqual(len(traces), 1)
        return traces[0]

    def complete(self, jaeger):
        return any(len(t["spans"]) >= 39 for t in jaeger.traces("frontend"))

    def services(self, trace):
        return {p["serviceName"] for p in trace["processes"].values()}

    def check(self, trace):
        spans = trace["spans"]
        self.assertEqual(len({s["spanID"] for s in spans}), len(spans), "a span id twice")
        known = {s["spanID"] for s in spans}
        for span in spans:
            for reference in span["references"]:
                self.assertIn(reference["spanID"], known, "a parent that is not in the trace")
        self.assertTrue({"frontend", "customer", "driver", "route", "mysql", "redis-manual"} <= self.services(trace))

    def test_receiver_only(self):
        trace = self.dispatch(capture__enabled="false")
        self.check(trace)
        self.assertIn(len(trace["spans"]), (39, 40))

    def test_with_capture_each_operation_stays_one_span(self):
        harness.require_capture()
        trace = self.dispatch()
        self.check(trace)
        kernel_only = [s for s in trace["spans"]
                       if any(t["key"] == "weft.origin" and t["value"] == "kernel" for t in s["tags"])]
        merged = [s for s in trace["spans"]
                  if any(t["key"] == "weft.origin" and t["value"] == "merged" for t in s["tags"])]
        self.assertIn(len(trace["spans"]) - len(kernel_only), (39, 40))
        # The test's own request (no SDK) is seen by the kernel alone; nothing else of HotROD is.
        self.assertLessEqual(len(kernel_only), 1, kernel_only)
        self.assertGreater(len(merged), 5)


if __name__ == "__main__":
    peers.require("all-in-one", "hotrod")
    harness.main()
