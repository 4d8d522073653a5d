"""A gRPC service and its client without generated code: messages are bytes.

    echo.py server PORT                     one process, threads
    echo.py client PORT METHOD COUNT        COUNT calls of Say | Fail | Count | Collect | Chat, one after the other
    echo.py parallel PORT COUNT             COUNT calls of Say in flight together on one connection
"""

import concurrent.futures
import sys
import time

import grpc

SERVICE = "weft.test.Echo"
STREAM_LENGTH = 5


def say(request, context):
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def slow(request, context):
    print("under way", file=sys.stderr, flush=True)
    time.sleep(0.3)
    return request


def count(request, context):
    for _ in range(STREAM_LENGTH):
        yield request


def collect(requests, context):
    return b"".join(requests)


def chat(requests, context):
    yield from requests


def serve(port):
    methods = {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=128))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(channel, method):
    path = f"/{SERVICE}/{method}"
    message = b"\x0a\x02hi"
    if method in ("Say", "Fail", "Slow"):
        return channel.unary_unary(path)(message, timeout=10)
    if method == "Count":
        return list(channel.unary_stream(path)(message, timeout=10))
    many = iter([message] * STREAM_LENGTH)
    if method == "Collect":
        return channel.stream_unary(path)(many, timeout=10)
    return list(channel.stream_stream(path)(many, timeout=10))


def main():
    what, port = sys.argv[1], sys.argv[2]
    if what == "server":
        serve(port)
        return
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        if what == "parallel":
            say_later = channel.unary_unary(f"/{SERVICE}/Slow")
            calls = [say_later.future(b"\x0a\x02hi", timeout=20) for _ in range(int(sys.argv[3]))]
            for one in calls:
                one.result()
            return
        for _ in range(int(sys.argv[4])):
            try:
                call(channel, sys.argv[3])
            except grpc.RpcError as error:
                print(error.code().name)


main()
