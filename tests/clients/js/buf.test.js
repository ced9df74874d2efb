// The rules of buf for proto/, and a client that buf.gen.yaml makes for TypeScript: checked by the compiler, then called.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { parse } from "yaml";

import { DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { GRPC, KEY, MODEL, on, way } from "./ground.js";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const PROTO = at("../../../proto");
const MADE = ["typescript/generated", "typescript/compiled"].map(at);
const BIN = at("node_modules/.bin");
const env = { ...process.env, PATH: `${BIN}:${process.env.PATH}` };
const run = (tool, ...options) => promisify(execFile)(`${BIN}/${tool}`, options, { cwd: PROTO, env });
const clear = () => MADE.forEach((folder) => rmSync(folder, { recursive: true, force: true }));

let made, Rerank, withKey; // the compiled typescript/client.ts
before(async () => {
  clear();
  await run("buf", "generate", "--template", JSON.stringify(template("gen/typescript", MADE[0])));
  await run("tsc", "--project", at("typescript")).catch(({ stdout }) => assert.fail(stdout));
  made = await import("./typescript/compiled/client.js");
  ({ Rerank, withKey } = made);
});
after(clear);

/** buf.gen.yaml with the plugins of one language only, since the others are not installed here. */
function template(out, folder) {
  const all = parse(readFileSync(`${PROTO}/buf.gen.yaml`, "utf8"));
  const plugins = all.plugins.filter((plugin) => plugin.out === out).map((plugin) => ({ ...plugin, out: folder }));
  assert.ok(plugins.length);
  return { ...all, plugins };
}

const connectNode = way(
  "@connectrpc/connect-node",
  {
    dialect: "rerank.v1",
    note: "stubs by `buf generate` ([stubs.md](stubs.md)); `withKey` is an interceptor; `H` is `host:port` of gRPC",
  },
  (H, k) => createClient(Rerank, createGrpcTransport({ baseUrl: "http://" + H, interceptors: [withKey(k)] })),
);

/** A test's body that calls with a key, by default the right one. */
const calling = (body) => on((open) => body((k = KEY) => open(connectNode, { H: GRPC, k })));

const ranked = (results) => results.map(({ index, relevanceScore }) => [index, relevanceScore]);
const request = (fields = {}) => ({ query: QUERY, documents: made.documents(DOCUMENTS), ...fields });

test("proto/ obeys the rules of buf", () => run("buf", "lint").catch(({ stdout }) => assert.fail(stdout)));
test("proto/ has the form of buf", () => run("buf", "format", "--diff", "--exit-code").catch(({ stdout }) => assert.fail(stdout)));

test("the TypeScript client ranks", calling(async (open) => {
  const client = open();
  const response = await client.rerank(request({ returnDocuments: true }), { timeoutMs: 30_000 });
  expectOrder(ranked(response.results));
  assert.equal(response.model, MODEL);
  assert.equal(response.usage.pairs, 3n);
  for (const { index, document } of response.results) assert.equal(document.content.value, DOCUMENTS[index]);
  expectOrder(ranked((await client.rerank(request({ topN: 2 }))).results), 2);
  assert.equal((await client.listModels({})).models[0].name, MODEL);
}));

test("the TypeScript client ranks a stream", calling(async (open) => {
  expectOrder(ranked(await made.rankStream(open(), QUERY, DOCUMENTS)));
}));

test("the TypeScript client reports errors", calling(async (open) => {
  const fails = (code) => (error) => error instanceof ConnectError && error.code === code;
  const client = open();
  await assert.rejects(client.rerank(request({ query: "" })), fails(Code.InvalidArgument));
  await assert.rejects(client.rerank(request({ model: "no-such-model" })), fails(Code.NotFound));
  await assert.rejects(client.rerank(request(), { timeoutMs: 0.001 }), fails(Code.DeadlineExceeded));
  await assert.rejects(open("wrong").rerank(request()), fails(Code.Unauthenticated));
}));
