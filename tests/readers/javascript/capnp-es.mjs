// Reads a file of the struct Blocks by capnp-es: node capnp-es.mjs MODULES FILE
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { classes, print } from "./classes.mjs";

const [modules, file] = process.argv.slice(2);
const capnp = await import(pathToFileURL(`${modules}/capnp-es/dist/index.mjs`));
const { getText, getUint32, getList } = capnp.utils;
const Blocks = classes({ ...capnp, getText, getUint32, getList });
const bytes = readFileSync(file);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
print(new capnp.Message(buffer, false).getRoot(Blocks));
