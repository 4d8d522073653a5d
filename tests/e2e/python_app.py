"""An instrumented Python service: WSGI server and urllib client with the OpenTelemetry SDK.
python_app.py PORT [NEXT_URL]; OTEL_* in the environment as in production."""

import sys
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, make_server

from opentelemetry import trace
from opentelemetry.instrumentation.urllib import URLLibInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if sys.argv[2] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=300))
trace.set_tracer_provider(provider)
URLLibInstrumentor().instrument()
NEXT = sys.argv[3] if len(sys.argv) > 3 else None


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def app(environ, start_response):
    if NEXT:
        urllib.request.urlopen(NEXT).read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


make_server("127.0.0.1", int(sys.argv[1]), OpenTelemetryMiddleware(app), handler_class=Quiet).serve_forever()
