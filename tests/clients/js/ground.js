// What a test of a client stands on: the front, the key, and what is recorded once the test has passed.

import { appendFileSync, readFileSync } from "node:fs";
import { after, before } from "node:test";

import { Front } from "./front.js";

export const MODEL = "starter";
export const KEY = process.env.CLIENTS_KEY;
export const GRPC = process.env.CLIENTS_GRPC;

export const front = new Front(JSON.parse(process.env.CLIENTS_SERVERS));
before(() => front.start());
after(() => front.stop());

/**
 * A client and the line that makes it, which docs/clients.md shows as it runs here: `make` is an arrow function of H,
 * the server's root, k, the key, and M, the model.
 */
export function way(client, { dialect, name = client, note = "" }, make) {
  return { client: name, version: versionOf(client), dialect, note, make };
}

function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
}

/** A test's body with the means to open clients. Which they were and what passed is recorded when it has not thrown. */
export function on(body) {
  return async () => {
    front.clear();
    const opened = new Set();
    const open = (way, { k = KEY, M = MODEL, H = front.url } = {}) => {
      opened.add(way);
      return way.make(H, k, M);
    };
    await body(open);
    opened.forEach(record);
  };
}

function record({ client, version, dialect, note, make }) {
  const constructor = make.toString().replace(/^\(.*?\) => /, "");
  add(process.env.CLIENTS_RECORD, { language: "JavaScript", client, version, dialect, constructor, note });
  for (const call of front.calls) add(process.env.CLIENTS_CALLS, { client: `JavaScript ${client} ${version}`, ...call });
}

function add(file, line) {
  if (file) appendFileSync(file, `${JSON.stringify(line)}\n`);
}
