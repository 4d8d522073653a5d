// A gRPC service and its client without generated code: node echo.js server PORT | client PORT METHOD COUNT
'use strict';
const grpc = require('@grpc/grpc-js');
const same = (buffer) => buffer;
const method = (name, requestStream, responseStream) => ({
  path: `/weft.test.Echo/${name}`, requestStream, responseStream, requestSerialize: same, requestDeserialize: same,
  responseSerialize: same, responseDeserialize: same });
const definition = {
  Say: method('Say', false, false), Fail: method('Fail', false, false), Count: method('Count', false, true) };
const [what, port, name, count] = process.argv.slice(2);
const message = Buffer.from('\x0a\x02hi', 'latin1');

if (what === 'server') {
  const server = new grpc.Server();
  server.addService(definition, {
    Say: (call, done) => done(null, call.request),
    Fail: (call, done) => done({ code: grpc.status.NOT_FOUND, details: 'no such thing' }),
    Count: (call) => { for (let i = 0; i < 5; i++) call.write(call.request); call.end(); } });
  server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), () => {});
} else {
  const Client = grpc.makeGenericClientConstructor(definition, 'weft.test.Echo');
  const client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const next = (left) => {
    if (left === 0) return client.close();
    if (name === 'Count') client.Count(message).on('data', () => {}).on('end', () => next(left - 1));
    else client[name](message, () => next(left - 1));
  };
  next(Number(count));
}
