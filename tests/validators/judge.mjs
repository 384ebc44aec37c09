// Judges a document: `node judge.mjs openapi|openapi-3.0|openrpc FILE`. Says what is wrong and ends with status 1, or ends with status 0.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const Ajv = require("ajv").default;
const Ajv2020 = require("ajv/dist/2020").default;
const addFormats = require("ajv-formats").default;

const [kind, file] = process.argv.slice(2);
const document = JSON.parse(readFileSync(file, "utf8"));

/** Every schema of a document is valid JSON Schema, and what it refers to is there. */
function schemas(found) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats(ajv);
  ajv.addSchema({ $id: "doc:/", components: document.components });
  return found.flatMap(([place, schema]) => {
    try {
      const here = JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"doc:/#/'));
      ajv.compile(here);
      return [];
    } catch (error) {
      return [`${place}: ${error.message}`];
    }
  });
}

/** What a program for every version of the format says, which must be this one. */
async function format(version) {
  const { Validator } = await import("@seriousme/openapi-schema-validator");
  const validator = new Validator();
  const { valid, errors } = await validator.validate(structuredClone(document));
  const said = valid ? [] : [JSON.stringify(errors, null, 1)];
  if (validator.version !== version) said.push(`this is OpenAPI ${validator.version}`);
  return said;
}

async function openapi() {
  const said = await format("3.1");
  const bodies = Object.entries(document.paths).map(([path, { post }]) => [path, post.requestBody.content["application/json"].schema]);
  // A method that streams has its items in two forms, and no one result.
  const answers = Object.entries(document.paths).flatMap(([path, { post }]) =>
    Object.entries(post.responses).flatMap(([status, response]) =>
      Object.entries(response.content ?? {}).map(([form, { schema }]) => [`${path} ${status} ${form}`, schema])));
  const shared = Object.entries(document.components.responses).flatMap(([name, { content }]) =>
    Object.entries(content).map(([form, { schema }]) => [`${name} ${form}`, schema]));
  const types = Object.entries(document.components.schemas);
  return [...said, ...schemas([...bodies, ...answers, ...shared, ...types])];
}

function openrpc() {
  const { openrpcDocument } = require("@open-rpc/meta-schema");
  // What stands in the place of schemas is judged below; the meta-schema refers to one of draft 7 for them, which lies on the network.
  const meta = JSON.parse(JSON.stringify(openrpcDocument).replace(/\{"\$ref":"https:\/\/meta\.json-schema\.tools[^"]*"\}/g, "true"));
  delete meta.$schema;
  const ajv = new Ajv({ strict: false, allErrors: true });
  const valid = ajv.validate(meta, document);
  const said = valid ? [] : ajv.errors.map((error) => `${error.instancePath}: ${error.message}`);
  const all = document.methods.flatMap((method) => {
    const named = [...method.params, method.result].map((each) => each.schema);
    const others = [...(method["x-p2p-item"] ? [method["x-p2p-item"]] : []), ...(method.errors ?? []).map(({ data }) => data)];
    return [...named, ...others].map((schema) => [method.name, schema]);
  });
  return [...said, ...schemas([...all, ...Object.entries(document.components.schemas)])];
}

const judges = { openapi, "openapi-3.0": () => format("3.0"), openrpc };
const said = await judges[kind]();
if (said.length > 0) {
  console.error(said.join("\n"));
  process.exit(1);
}
