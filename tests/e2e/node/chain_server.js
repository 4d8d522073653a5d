// An instrumented server that calls the next one for every request. PORT, NEXT (a URL, optional) in the environment.
'use strict';
require('./sdk.js');
const http = require('http');
http.createServer((request, response) => {
  if (!process.env.NEXT) return response.end('leaf');
  http.get(process.env.NEXT, (answer) => {
    answer.resume();
    answer.on('end', () => response.end('via'));
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
