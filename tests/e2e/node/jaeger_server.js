// A server instrumented by hand with the old jaeger-client, which sends UDP thrift (binary) to an agent.
'use strict';
const { initTracer } = require('jaeger-client');
const http = require('http');
const tracer = initTracer({
  serviceName: 'jaeger-shop',
  sampler: { type: 'const', param: 1 },
  reporter: { agentHost: '127.0.0.1', agentPort: Number(process.env.AGENT_PORT), flushIntervalMs: 200 },
}, {});
http.createServer((request, response) => {
  const span = tracer.startSpan('handle', { tags: { 'span.kind': 'server', 'http.method': request.method,
                                                    'http.url': request.url } });
  response.end('ok', () => span.finish());
}).listen(Number(process.env.PORT), '127.0.0.1');
