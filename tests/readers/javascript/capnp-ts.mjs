// Reads a file of the struct Blocks by capnp-ts: node capnp-ts.mjs MODULES FILE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { classes, print } from "./classes.mjs";

const [modules, file] = process.argv.slice(2);
const capnp = createRequire(import.meta.url)(`${modules}/capnp-ts`);
const { getText, getUint32, getList } = capnp.Struct;
const Blocks = classes({ ...capnp, getText, getUint32, getList });
const bytes = readFileSync(file);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
print(new capnp.Message(buffer, false).getRoot(Blocks));
