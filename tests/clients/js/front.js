// A front before the servers: keeps what passes, and lets one that refuses answer calls of a test.

import http from "node:http";
import { buffer } from "node:stream/consumers";

/** A running front. `servers` maps what a server is (ready, small, overloaded, failing, draining) to its root. */
export class Front {
  #servers;
  #turns = [];
  #listener = http.createServer((request, response) => void this.#passOn(request, response));
  /** What passed: the server that answered, what the client sent, and what it got. */
  calls = [];

  constructor(servers) {
    this.#servers = servers;
  }

  /** Listen on a port of the system's choice. */
  async start() {
    await new Promise((listening) => this.#listener.listen(0, "127.0.0.1", listening));
    this.url = `http://127.0.0.1:${this.#listener.address().port}`;
  }

  async stop() {
    this.#listener.closeAllConnections();
    await new Promise((closed) => this.#listener.close(closed));
  }

  /** Forget what passed, and let the server that is ready answer. */
  clear() {
    this.calls = [];
    this.#turns = [];
  }

  /** Let the next calls be answered by these, one each. */
  next(...servers) {
    this.#turns.push(...servers);
  }

  async #passOn(request, response) {
    const { method, url: path, headers } = request;
    const sent = await buffer(request);
    const server = this.#turns.shift() ?? "ready";
    const answer = await ask(new URL(path, this.#servers[server]), { method, headers }, sent);
    const body = await buffer(answer);
    this.calls.push({
      server, method, path, sent_headers: headers, sent: sent.toString(),
      status: answer.statusCode, headers: answer.headers, body: body.toString(),
    });
    response.writeHead(answer.statusCode, answer.headers).end(body);
  }
}

function ask(url, options, body) {
  return new Promise((answered, failed) => {
    http.request(url, options, answered).on("error", failed).end(body);
  });
}
