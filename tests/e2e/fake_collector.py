"""A collector that keeps what it is sent, byte for byte, and can be told to wait, to refuse or to be away."""

import concurrent.futures
import contextlib
import threading
import time

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness import free_port

SERVICE = "opentelemetry.proto.collector.{0}.v1.{1}Service"
METHODS = {f"/{SERVICE.format(name.lower(), name)}/Export": name.lower() for name in ("Trace", "Metrics", "Logs")}
METHODS["/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"] = "profiles"


class FakeCollector(grpc.GenericRpcHandler):
    def __init__(self):
        self.port = free_port()
        self.requests = {signal: [] for signal in METHODS.values()}
        self.open = {}
        self.answered = []  # (when, request), of traces
        self.gate = threading.Event()  # answers wait for it
        self.gate.set()
        self.delay_seconds = 0.0
        self.refuse_with = None  # a status code
        self.server = None

    def service(self, details):
        signal = METHODS.get(details.method)
        if signal is None:
            return None

        def answer(request, context):
            if self.refuse_with:
                context.abort(self.refuse_with, "told to refuse")
            self.requests[signal].append(request)
            self.open[id(request)] = request
            if self.delay_seconds:
                time.sleep(self.delay_seconds)
            self.gate.wait()
            del self.open[id(request)]
            self.answered.append((time.monotonic(), request))
            return b""
        return grpc.unary_unary_rpc_method_handler(answer)

    def unanswered(self):
        return list(self.open.values())

    def start(self):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), handlers=[self],
                                  options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)])
        assert self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()

    def stop(self):
        if self.server is not None:
            self.server.stop(0).wait()
            self.server = None

    @contextlib.contextmanager
    def running(self):
        self.start()
        try:
            yield self
        finally:
            self.gate.set()
            self.stop()

    def span_ids(self):
        return [i for body in list(self.requests["trace"]) for i in span_ids(body)]


def span_ids(body):
    return [span.span_id for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans for span in scope.spans]
